//! A wire between the gallery and one server it needs, and what wires do: it is slow, cut, silent, garbled, or says 503.
//!
//! A *turn* is what one side asks and the other answers on a connection; each trouble is rolled anew for each turn, so that a percentage
//! means requests, whether or not connections are kept.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What may happen on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Connections are reset, standing ones too.
    Refuse,
    /// Nothing comes through, and nobody is told.
    Silence,
    /// A request is not passed on; it is answered with this status of HTTP and a code of S3's.
    Status(u16),
    /// The answer comes this much later.
    Delay(Duration),
    /// At most so many bytes a second.
    Rate(u64),
    /// Reset after so many bytes of the question.
    CutUp(usize),
    /// Reset after so many bytes of the answer.
    CutDown(usize),
    /// Silent after so many bytes of the question.
    StallUp(usize),
    /// Silent after so many bytes of the answer.
    StallDown(usize),
    /// One bit of this byte of the answer is turned.
    CorruptDown(usize),
    /// A question in which these bytes occur is passed on; its answer is lost with the connection.
    LoseAnswerTo(&'static [u8]),
}

/// A fault, and how often it strikes.
#[derive(Clone, Debug)]
struct Trouble {
    fault: Fault,
    percent: u64,
    /// How many turns more it strikes.
    left: Arc<AtomicU64>,
}

impl Trouble {
    fn strikes(&self, dice: &Dice) -> bool {
        dice.below(100) < self.percent
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// Chance that can be repeated: the seed is printed.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    /// Chance from `FAULTS_SEED`, or from a new seed.
    pub(crate) fn new(what: &str) -> Self {
        let seed = std::env::var("FAULTS_SEED").ok().map_or_else(
            || {
                let mut bytes = [0; 4];
                getrandom::fill(&mut bytes).unwrap();
                u32::from_ne_bytes(bytes).into()
            },
            |seed| seed.parse().expect("FAULTS_SEED is a number"),
        );
        println!("{what}: FAULTS_SEED={seed}");
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        // SplitMix64: every state leads to the next, and each gives a well mixed number.
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

struct Shared {
    to: String,
    troubles: watch::Sender<Vec<Trouble>>,
    dice: Dice,
    turns: AtomicU64,
    struck: AtomicU64,
}

/// The wire; dropping it cuts it.
pub(crate) struct Chaos {
    at: SocketAddr,
    shared: Arc<Shared>,
    _ends: DropGuard,
}

impl Chaos {
    /// A wire without faults to `to` (`host:port`, or a URL of `http`).
    pub(crate) async fn before(to: &str) -> Self {
        let to = to.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            dice: Dice::new(&format!("the wire to {to}")),
            to,
            troubles: watch::Sender::new(Vec::new()),
            turns: AtomicU64::default(),
            struck: AtomicU64::default(),
        });
        let end = CancellationToken::new();
        let (passing, until) = (Arc::clone(&shared), end.clone());
        tokio::spawn(async move {
            let mut wires = JoinSet::new();
            let accepting = async {
                while let Ok((stream, _)) = listener.accept().await {
                    wires.spawn(pass(stream, Arc::clone(&passing)));
                    while wires.try_join_next().is_some() {}
                }
            };
            tokio::select! {
                () = accepting => {}
                () = until.cancelled() => {}
            }
        });
        Self { at, shared, _ends: end.drop_guard() }
    }

    /// Where it begins.
    pub(crate) fn port(&self) -> u16 {
        self.at.port()
    }

    /// Where it begins, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// From now on nothing but this happens, in every turn.
    pub(crate) fn set(&self, fault: Fault) {
        self.set_each(&[(fault, 100)]);
    }

    /// From now on nothing but these happen, each in so many percent of the turns.
    pub(crate) fn set_each(&self, faults: &[(Fault, u64)]) {
        let endless = || Arc::new(AtomicU64::new(u64::MAX));
        let all =
            faults.iter().map(|(fault, percent)| Trouble { fault: fault.clone(), percent: *percent, left: endless() });
        self.shared.troubles.send_replace(all.collect());
    }

    /// From now on nothing but this happens, and once only.
    pub(crate) fn once(&self, fault: Fault) {
        let left = Arc::new(AtomicU64::new(1));
        self.shared.troubles.send_replace(vec![Trouble { fault, percent: 100, left }]);
    }

    /// From now on the wire is sound.
    pub(crate) fn heal(&self) {
        self.shared.troubles.send_replace(Vec::new());
    }

    /// How many turns there were.
    pub(crate) fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::SeqCst)
    }

    /// How many of them something struck.
    pub(crate) fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::SeqCst)
    }
}

/// Ends both sides as a broken wire does, without a word.
fn cut(sides: [Option<TcpStream>; 2]) {
    for side in sides.into_iter().flatten() {
        let _ = side.set_zero_linger();
    }
}

/// What strikes one turn.
#[derive(Default)]
struct Turn {
    faults: Vec<Fault>,
    up: usize,
    down: usize,
    /// Whether an answer has begun: what is asked next begins a new turn.
    answered: bool,
    /// The end of the question so far, and whether it holds what [`Fault::LoseAnswerTo`] looks for.
    asked: Vec<u8>,
    loses: bool,
}

impl Turn {
    fn new(shared: &Shared, troubles: &[Trouble]) -> Self {
        let faults: Vec<Fault> = troubles
            .iter()
            .filter(|trouble| !matches!(trouble.fault, Fault::LoseAnswerTo(_)))
            .filter(|trouble| trouble.strikes(&shared.dice))
            .map(|trouble| trouble.fault.clone())
            .collect();
        shared.turns.fetch_add(1, Ordering::SeqCst);
        shared.struck.fetch_add(u64::from(!faults.is_empty()), Ordering::SeqCst);
        Self { faults, ..Self::default() }
    }

    /// Remembers what was asked, as far as an answer may have to be lost for it.
    fn ask(&mut self, piece: &[u8], shared: &Shared, troubles: &[Trouble]) {
        for trouble in troubles {
            let Fault::LoseAnswerTo(wanted) = &trouble.fault else { continue };
            self.asked.extend_from_slice(piece);
            if !self.loses
                && self.asked.windows(wanted.len()).any(|part| part == *wanted)
                && trouble.strikes(&shared.dice)
            {
                self.loses = true;
                shared.struck.fetch_add(1, Ordering::SeqCst);
            }
            let kept = self.asked.len().saturating_sub(wanted.len());
            self.asked.drain(..kept);
        }
    }

    fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }
}

enum Next {
    Asked(usize),
    Answered(usize),
    Changed,
    Over,
}

/// One connection, from its first byte to its last.
async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let mut changes = shared.troubles.subscribe();
    let mut sides = [Some(client), None];
    let _ = carry(&mut sides, &shared, &mut changes).await;
    cut(sides);
}

async fn carry(
    sides: &mut [Option<TcpStream>; 2],
    shared: &Shared,
    changes: &mut watch::Receiver<Vec<Trouble>>,
) -> io::Result<()> {
    let mut troubles = changes.borrow_and_update().clone();
    let mut turn = Turn::new(shared, &troubles);
    if turn.has(&Fault::Refuse) {
        return Ok(());
    }
    if turn.has(&Fault::Silence) {
        return silent(changes).await;
    }
    sides[1] = Some(TcpStream::connect(&shared.to).await?);
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        let [Some(client), Some(server)] = sides else { return Ok(()) };
        let next = {
            let (asking, answering) = (pin!(client.read(&mut up)), pin!(server.read(&mut down)));
            tokio::select! {
                read = asking => Next::Asked(read?),
                read = answering => Next::Answered(read?),
                told = changes.changed() => if told.is_ok() { Next::Changed } else { Next::Over },
            }
        };
        match next {
            Next::Over | Next::Answered(0) | Next::Asked(0) => {
                // Both ends hang up as the one did.
                let _ = (client.shutdown().await, server.shutdown().await);
                sides[0] = None;
                sides[1] = None;
                return Ok(());
            }
            Next::Changed => {
                troubles.clone_from(&changes.borrow_and_update());
                if troubles.iter().any(|trouble| trouble.fault == Fault::Refuse && trouble.percent == 100) {
                    return Ok(());
                }
                turn.faults.clear();
                turn.answered = true;
            }
            Next::Asked(length) => {
                if turn.answered {
                    turn = Turn::new(shared, &troubles);
                }
                let piece = &up[..length];
                turn.ask(piece, shared, &troubles);
                for fault in turn.faults.clone() {
                    match fault {
                        Fault::Refuse => return Ok(()),
                        Fault::Silence => return silent(changes).await,
                        Fault::Status(status) => return refuse(client, status).await,
                        Fault::Rate(rate) => sleep(Duration::from_secs_f64(amount(length) / amount(rate))).await,
                        Fault::CutUp(bytes) if turn.up + length > bytes => {
                            server.write_all(&piece[..bytes.saturating_sub(turn.up).min(length)]).await?;
                            return Ok(());
                        }
                        Fault::StallUp(bytes) if turn.up + length > bytes => {
                            server.write_all(&piece[..bytes.saturating_sub(turn.up).min(length)]).await?;
                            return silent(changes).await;
                        }
                        _ => {}
                    }
                }
                turn.up += length;
                server.write_all(piece).await?;
            }
            Next::Answered(length) => {
                if turn.loses {
                    return Ok(());
                }
                let first = turn.down == 0;
                turn.answered = true;
                let piece = &mut down[..length];
                for fault in turn.faults.clone() {
                    match fault {
                        Fault::Delay(time) if first => sleep(time).await,
                        Fault::Rate(rate) => sleep(Duration::from_secs_f64(amount(length) / amount(rate))).await,
                        Fault::CorruptDown(byte) if (turn.down..turn.down + length).contains(&byte) => {
                            piece[byte - turn.down] ^= 1;
                        }
                        Fault::CutDown(bytes) if turn.down + length > bytes => {
                            client.write_all(&piece[..bytes.saturating_sub(turn.down).min(length)]).await?;
                            return Ok(());
                        }
                        Fault::StallDown(bytes) if turn.down + length > bytes => {
                            client.write_all(&piece[..bytes.saturating_sub(turn.down).min(length)]).await?;
                            return silent(changes).await;
                        }
                        _ => {}
                    }
                }
                turn.down += length;
                client.write_all(piece).await?;
            }
        }
    }
}

/// A count of bytes for a division.
fn amount(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

/// Keeps a connection without a word until the wire changes; then it is cut.
async fn silent(changes: &mut watch::Receiver<Vec<Trouble>>) -> io::Result<()> {
    let _ = timeout(Duration::from_mins(2), changes.changed()).await;
    Ok(())
}

/// Answers a request of HTTP in the server's place.
async fn refuse(client: &mut TcpStream, status: u16) -> io::Result<()> {
    let code = match status {
        403 => "RequestTimeTooSkewed",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said by the wire</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} Wire\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await?;
    // Who still sends would lose the answer to a reset.
    let mut rest = vec![0; 16 << 10];
    let reading = async { while client.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    let _ = timeout(Duration::from_secs(2), reading).await;
    Ok(())
}

/// A server that says each line back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    at
}

/// What comes back for a line: the bytes, and whether the connection then stands.
async fn said(chaos: &Chaos, line: &[u8]) -> (Vec<u8>, &'static str) {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", chaos.port())).await else { return (Vec::new(), "cut") };
    let (mut back, mut piece) = (Vec::new(), [0; 256]);
    if stream.write_all(line).await.is_err() {
        return (back, "cut");
    }
    loop {
        match timeout(Duration::from_millis(300), stream.read(&mut piece)).await {
            Err(_) => return (back, "stands"),
            Ok(Ok(0)) => return (back, "ended"),
            Ok(Err(_)) => return (back, "cut"),
            Ok(Ok(length)) => back.extend_from_slice(&piece[..length]),
        }
    }
}

#[tokio::test]
async fn a_wire_does_what_it_is_told() {
    let chaos = Chaos::before(&echo().await.to_string()).await;
    let line: &[u8] = b"eight by";
    assert_eq!(said(&chaos, line).await, (line.to_vec(), "stands"));
    for (fault, back, then) in [
        (Fault::Refuse, &b""[..], "cut"),
        (Fault::Silence, b"", "stands"),
        (Fault::CutUp(3), b"", "cut"),
        (Fault::CutDown(3), b"eig", "cut"),
        (Fault::StallUp(3), b"", "stands"),
        (Fault::StallDown(3), b"eig", "stands"),
        (Fault::CorruptDown(1), b"ehght by", "stands"),
        (Fault::LoseAnswerTo(b"ght"), b"", "cut"),
        (Fault::LoseAnswerTo(b"nothing of this"), line, "stands"),
        (Fault::Delay(Duration::from_millis(100)), line, "stands"),
        (Fault::Rate(80), line, "stands"),
    ] {
        chaos.set(fault.clone());
        let (said, stood) = said(&chaos, line).await;
        // A reset may overtake the bytes before it.
        assert!(said == back || (stood == "cut" && back.starts_with(&said)), "{fault:?}: {said:?}");
        assert_eq!(stood, then, "{fault:?}");
    }
    chaos.set(Fault::Status(503));
    let (answer, then) = said(&chaos, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 503 ") && then == "ended", "{}", String::from_utf8_lossy(&answer));
    chaos.once(Fault::CutDown(0));
    assert_eq!(said(&chaos, line).await.1, "cut");
    assert_eq!(said(&chaos, line).await, (line.to_vec(), "stands"));
    chaos.set_each(&[(Fault::CutDown(0), 30)]);
    let before = chaos.struck();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", chaos.port())).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        let _ = stream.read(&mut [0]).await;
    }
    let struck = chaos.struck() - before;
    assert!((30..90).contains(&struck), "{struck} of 200");
}
