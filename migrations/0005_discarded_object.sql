-- Objects of deleted photos that are still to be removed from the store.
CREATE TABLE IF NOT EXISTS discarded_object (
    object_key VARCHAR(80) NOT NULL,
    since DATETIME(6) NOT NULL,
    PRIMARY KEY (object_key)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
CREATE INDEX discarded_object_by_since ON discarded_object (since);
