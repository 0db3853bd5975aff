-- Accounts of the gallery's own. `founder` is 1 for the account that was made when there was none and NULL for all others: its index lets in one.
CREATE TABLE IF NOT EXISTS account (
    owner CHAR(36) NOT NULL,
    email VARCHAR(254) NOT NULL,
    email_key VARCHAR(510) NOT NULL,
    nickname VARCHAR(100) NOT NULL,
    password VARCHAR(255) NOT NULL,
    founder BIGINT,
    confirmed_at DATETIME(6),
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (owner)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
CREATE UNIQUE INDEX account_by_email ON account (email_key);
CREATE UNIQUE INDEX account_by_founder ON account (founder);
-- Codes that were sent to people: of each only a keyed hash, and one for each purpose.
CREATE TABLE IF NOT EXISTS account_code (
    owner CHAR(36) NOT NULL,
    purpose VARCHAR(10) NOT NULL,
    code CHAR(64) NOT NULL,
    tries BIGINT NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (owner, purpose),
    FOREIGN KEY (owner) REFERENCES account (owner) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
