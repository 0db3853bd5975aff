-- What labelers that cost money said of a content, whoever's photo it was. `labels` is JSON, NULL while `asking` asks, until `asking_until`.
CREATE TABLE IF NOT EXISTS content_label (
    sha256 CHAR(64) NOT NULL,
    labeler VARCHAR(100) NOT NULL,
    labels MEDIUMTEXT,
    asking CHAR(32),
    asking_until DATETIME(6),
    used_at DATETIME(6) NOT NULL,
    PRIMARY KEY (sha256, labeler)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
CREATE INDEX content_label_by_used ON content_label (used_at);
