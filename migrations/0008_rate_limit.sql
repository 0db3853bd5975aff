-- How much has been tried lately. Whose bucket it is, a keyed hash hides.
CREATE TABLE IF NOT EXISTS rate_limit (
    bucket CHAR(64) NOT NULL,
    full_at DATETIME(6) NOT NULL,
    PRIMARY KEY (bucket)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
CREATE INDEX rate_limit_by_full ON rate_limit (full_at);
