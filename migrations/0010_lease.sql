-- Who alone does what is to be done in one place at a time: one row for each kind of work, held until a moment unless renewed.
CREATE TABLE IF NOT EXISTS lease (
    name VARCHAR(100) NOT NULL,
    holder VARCHAR(100) NOT NULL,
    held_until DATETIME(6) NOT NULL,
    PRIMARY KEY (name)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
