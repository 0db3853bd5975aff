-- Counts kept in the transaction that changes them, so that no page counts rows.
CREATE TABLE IF NOT EXISTS album_total (
    owner VARCHAR(150) NOT NULL,
    photos BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (owner)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
CREATE TABLE IF NOT EXISTS label_total (
    owner VARCHAR(150) NOT NULL,
    name VARCHAR(100) NOT NULL,
    photos BIGINT NOT NULL,
    PRIMARY KEY (owner, name)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin # */ WITHOUT ROWID /*
*/;
CREATE INDEX label_total_by_photos ON label_total (owner, photos DESC, name);
