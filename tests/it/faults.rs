//! What must survive, and how it is shown: each fault is done to the program's own processes, and after it every photo that was answered
//! for is there with all its bytes, and the audit (`check --deep`) finds nothing.
//!
//! | fault | shown in | outcome |
//! |---|---|---|
//! | killed before any write of an upload (R1, R16) | `kill.rs` | one photo or none; brought again, one |
//! | killed before any write of a labelling (R2) | `kill.rs` | the next worker finishes it; one set of labels |
//! | servers and workers of a fleet killed under load | `fleet.rs` | every photo kept, each labelled once, no dead letter |
//! | a client goes away, falls silent, is slow (R3) | `faults/client.rs`, `upload.rs` | nothing stays; the slow one is served |
//! | the bucket refuses, hangs, errs, cuts (R4) | `faults/with_servers/bucket.rs` | 503 with Retry-After within 10 s; pages go on |
//! | the bucket's answer is lost (R5) | the same | one object, one row |
//! | the bucket errs at 30 %, and is slow (R6) | the same | kept within three tries; no storm of requests |
//! | objects missing or garbled (R7) | the same, `check.rs`, `worker.rs` | told by the audit; garbled bytes are not labelled |
//! | the database is down at the start, or dies (R8, R9) | `readiness.rs`, `operation.rs` | 503, and back without a restart |
//! | the database hangs (R10) | `faults/with_servers/database.rs` | 503 within 5 s; back without a restart |
//! | read-only, deadlocks, long locks (R11, R12) | `catalog/outages.rs`, `faults/race.rs` | tried again unseen |
//! | no connection left, connections closed (R13, R14) | `faults/with_servers/database.rs` | 503 at worst; nobody's error |
//! | the answer to a commit is lost (R15) | the same | one photo |
//! | SQLite busy, its disk full (R16) | `catalog/outages.rs`, `operation.rs` | waits; 507 and clean |
//! | Rekognition throttles, is away (R17) | `faults/labels.rs`, `finish.rs` | visible at once; labelled later; paid for once |
//! | Rekognition refuses, or says odd things (R18, R19) | `labeler/rekognition.rs` | no labels for good; capped, dropped |
//! | messages twice, late, unreadable, many (R22 to R27) | `events/work.rs`, `events/programs.rs` | once; dead letters; flat memory |
//! | the disk full, without inodes, not writable (R28) | `operation.rs`, `faults/disk.rs`, `faults/with_servers/disk.rs` | 507 or 503, and clean |
//! | the clock jumps (R29) | `faults/clock.rs`, `faults/with_servers/clock.rs` | sessions end in time; a sentence for the operator |
//! | two instances race (R30) | `faults/race.rs` | answers and end fit one order of what was done |
//! | 256 kbit/s, dropped connections (R41) | `faults/with_servers/bucket.rs` | slower, nothing twice |

mod client;
pub(crate) mod clock;
mod disk;
pub(crate) mod gallery;
mod labels;
mod race;
pub(crate) mod rekognition;

mod with_servers {
    mod bucket;
    mod clock;
    mod database;
    mod disk;
    mod race;
}
