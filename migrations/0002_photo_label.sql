-- What is in a picture. The line with the # is read by SQLite alone: it keeps the rows in the primary key, as InnoDB does.
CREATE TABLE IF NOT EXISTS photo_label (
    photo CHAR(36) NOT NULL,
    name VARCHAR(100) NOT NULL,
    confidence DOUBLE,
    parents MEDIUMTEXT,
    categories MEDIUMTEXT,
    instances MEDIUMTEXT,
    PRIMARY KEY (photo, name),
    FOREIGN KEY (photo) REFERENCES photo (id) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin # */ WITHOUT ROWID /*
*/;
