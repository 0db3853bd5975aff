-- Owners whose account was deleted, until nothing of theirs is left.
CREATE TABLE IF NOT EXISTS departing (
    owner VARCHAR(150) NOT NULL,
    since DATETIME(6) NOT NULL,
    -- what the provider is asked with, encrypted, until the account is gone there too
    sealed BLOB,
    PRIMARY KEY (owner)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
