//! All SQL. One text of each statement for MySQL and SQLite.
