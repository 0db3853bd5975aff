//! The program killed before each of its writes in turn: whatever it had begun is whole or gone, and the same file brought again is one
//! photo.
//!
//! A step is a system call that changes a file or sends to a socket, of whichever thread, counted in the order in which they come: a
//! debugger stops the program before step N and kills it there. `strace -e inject=...:when=N` counts for each thread and each call by
//! itself, so that most orders of two threads' writes would never be tried.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    sys::{
        ptrace::{self, Options, regset::NT_PRSTATUS},
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    chaos::Dice,
    faults::{
        gallery::{Gallery, Ledger, Worker},
        rekognition::Rekognition,
    },
    pictures,
    process::Process,
};

/// Calls that change a file or send to a socket, with their first argument a file descriptor.
const ON_DESCRIPTORS: &[(c_long, &str)] = &[
    (libc::SYS_write, "write"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_pwritev, "pwritev"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendmmsg, "sendmmsg"),
    (libc::SYS_sendfile, "sendfile"),
    (libc::SYS_splice, "splice"),
    (libc::SYS_copy_file_range, "copy_file_range"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
];
/// Calls that change a folder.
const ON_NAMES: &[(c_long, &str)] = &[
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_mkdirat, "mkdirat"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "link"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir"),
];

/// A system call that a thread is about to make: its number and arguments.
struct Call {
    number: c_long,
    first: u64,
    third: u64,
}

impl Call {
    #[cfg(target_arch = "x86_64")]
    fn of(thread: Pid) -> nix::Result<Self> {
        let registers = ptrace::getregset::<NT_PRSTATUS>(thread)?;
        let number = c_long::try_from(registers.orig_rax).unwrap_or(-1);
        Ok(Self { number, first: registers.rdi, third: registers.rdx })
    }

    #[cfg(target_arch = "aarch64")]
    fn of(thread: Pid) -> nix::Result<Self> {
        let registers = ptrace::getregset::<NT_PRSTATUS>(thread)?;
        let number = c_long::try_from(registers.regs[8]).unwrap_or(-1);
        Ok(Self { number, first: registers.regs[0], third: registers.regs[2] })
    }

    /// The step that it is, in words; `None` when nothing outside the process changes.
    fn step(&self, process: Pid) -> Option<String> {
        if let Some((_, name)) = ON_DESCRIPTORS.iter().find(|(number, _)| *number == self.number) {
            let target = fs::read_link(format!("/proc/{process}/fd/{}", self.first)).unwrap_or_default();
            let target = target.display().to_string();
            // Threads wake each other through these.
            let inner = target.starts_with("anon_inode:") || target.starts_with("pipe:");
            let kind = match target.rsplit('/').next().unwrap_or_default() {
                socket if socket.starts_with("socket:") => "to a socket",
                temporary if temporary.starts_with(".tmp") => "to a temporary file",
                folder if folder.len() <= 2 || folder == "photos" => "to a folder of photos",
                other => other,
            };
            return (!inner).then(|| format!("{name} {kind}"));
        }
        if let Some((_, name)) = ON_NAMES.iter().find(|(number, _)| *number == self.number) {
            return Some((*name).to_owned());
        }
        let creates = u64::try_from(libc::O_CREAT).unwrap_or(0);
        (self.number == libc::SYS_openat && self.third & creates != 0).then(|| "openat O_CREAT".to_owned())
    }
}

/// From when on steps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// From the moment the debugger is attached.
    Now,
    /// From the first line that the program writes to its log: it has started.
    FirstLogLine,
}

/// A debugger on a process, which kills it before its Nth step. While it is attached nobody else may wait for the process, not even to
/// see whether it lives: that would take the debugger's news.
pub(crate) struct Debugger {
    steps: Arc<AtomicU32>,
    struck: Arc<Mutex<Option<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Debugger {
    /// Attaches to a process, which dies before step `limit`, counted from 1.
    pub(crate) fn attach(process: u32, limit: u32, from: From) -> Self {
        let process = Pid::from_raw(process.try_into().unwrap());
        let (steps, struck) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(None)));
        let (ready, attached) = mpsc::channel();
        let thread = {
            let (steps, struck) = (Arc::clone(&steps), Arc::clone(&struck));
            // A debugger is a thread: what it attaches to answers to no other.
            std::thread::spawn(move || follow(process, limit, from, &steps, &struck, &ready))
        };
        attached.recv().expect("the debugger attaches: it needs the right to trace processes of its own user");
        Self { steps, struck, thread: Some(thread) }
    }

    /// How many steps there were.
    pub(crate) fn steps(&self) -> u32 {
        self.steps.load(Ordering::SeqCst)
    }

    /// Before which step it killed the process, once it has.
    pub(crate) fn struck(&self) -> Option<String> {
        self.struck.lock().unwrap().clone()
    }

    /// Whether the process is gone.
    fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(std::thread::JoinHandle::is_finished)
    }

    /// Waits for the end of a process that is dead or dying.
    pub(crate) fn ended(mut self) -> (u32, Option<String>) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the debugger ends with its process");
        }
        (self.steps(), self.struck())
    }
}

/// Attaches to every thread there is; those that come later are attached by the kernel.
fn seize(process: Pid) -> nix::Result<()> {
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
    let mut seized = HashSet::new();
    loop {
        let threads = fs::read_dir(format!("/proc/{process}/task")).map_err(|_| Errno::ESRCH)?;
        let threads = threads.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let new: Vec<i32> = threads.filter(|thread| !seized.contains(thread)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for thread in new {
            match ptrace::seize(Pid::from_raw(thread), options) {
                // It ended meanwhile, or the kernel was faster.
                Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
                Err(error) => return Err(error),
            }
            let _ = ptrace::interrupt(Pid::from_raw(thread));
            seized.insert(thread);
        }
    }
}

fn follow(
    process: Pid,
    limit: u32,
    from: From,
    steps: &AtomicU32,
    struck: &Mutex<Option<String>>,
    ready: &mpsc::Sender<()>,
) {
    seize(process).expect("the process can be attached to");
    ready.send(()).expect("somebody waits");
    let mut counting = from == From::Now;
    let mut inside: HashMap<Pid, bool> = HashMap::new();
    let log = fs::read_link(format!("/proc/{process}/fd/2")).unwrap_or_else(|_| PathBuf::new());
    loop {
        // Only what this thread is attached to: other tests have children of their own. The end of the process is left to who started it.
        let own = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let seen = waitid(Id::All, own | WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT);
        let seen = match seen {
            Ok(WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, ..)) if ended == process => return,
            Ok(seen) => seen.pid(),
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        let (thread, signal) = match waitpid(seen, Some(own)) {
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                let entered = inside.entry(thread).or_default();
                *entered = !*entered;
                if *entered && let Ok(call) = Call::of(thread) {
                    let writes = call.number == libc::SYS_write && call.first == 2;
                    if counting {
                        if let Some(step) = call.step(process).filter(|_| !writes)
                            && steps.fetch_add(1, Ordering::SeqCst) + 1 == limit
                        {
                            *struck.lock().unwrap() = Some(step);
                            let _ = kill(process, Signal::SIGKILL);
                        }
                    } else {
                        counting = writes && !log.as_os_str().is_empty();
                    }
                }
                (thread, None)
            }
            Ok(WaitStatus::Stopped(thread, signal)) => (thread, Some(signal)),
            Ok(WaitStatus::PtraceEvent(thread, ..)) => (thread, None),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        // It may be dead by now.
        let _ = ptrace::syscall(thread, signal);
    }
}

/// Which steps are tried: every third from a random one on, or every `KILL_EVERY`th; `script/faults kill` tries all.
struct Steps {
    every: u32,
    next: u32,
    tried: BTreeMap<String, u32>,
    began: Instant,
}

impl Steps {
    fn new(what: &str) -> Self {
        let every = std::env::var("KILL_EVERY").map_or(3, |every| every.parse().expect("KILL_EVERY is a number"));
        let first = 1 + u32::try_from(Dice::new(what).below(every.into())).unwrap();
        println!("{what}: every {every}. step is tried, from step {first} on");
        Self { every, next: first, tried: BTreeMap::new(), began: Instant::now() }
    }

    fn tried(&mut self, before: String) {
        *self.tried.entry(before).or_default() += 1;
        self.next += self.every;
    }

    fn print(&self, what: &str, steps: u32) {
        let tried: u32 = self.tried.values().sum();
        println!("{what}: {steps} steps, killed before {tried} of them, 0 violations, {:?}", self.began.elapsed());
        for (kind, times) in &self.tried {
            println!("    {times} x {kind}");
        }
    }
}

/// A picture that no other step uploads.
fn picture(step: u32) -> Vec<u8> {
    let mut bytes = pictures::jpeg(64, 48, step);
    bytes.extend_from_slice(&step.to_be_bytes());
    bytes
}

/// An upload, killed before each step: nothing is half there, and brought again it is one photo.
async fn uploads(what: &str, gallery: Gallery) {
    let mut steps = Steps::new(what);
    let ledger = Ledger::default();
    let mut server = gallery.serve_only().await;
    loop {
        let bytes = picture(steps.next);
        let debugger = Debugger::attach(server.id(), steps.next, From::Now);
        let answered = ledger.upload(&server, &bytes).await;
        let struck = debugger.struck();
        server.kill();
        let (counted, before) = debugger.ended();
        server = gallery.serve_only().await;
        let listed = server.all().await.len();
        let known = ledger.kept();
        assert!(listed == known || (answered.is_none() && listed == known + 1), "{listed} listed, {known} known");
        let Some(_) = struck else {
            assert_eq!(answered, Some(StatusCode::CREATED));
            steps.print(what, counted);
            break;
        };
        ledger.upload_at_last(&server, &bytes, Duration::from_secs(20)).await;
        assert_eq!(server.all().await.len(), ledger.kept(), "killed before {before:?}");
        gallery.check_clean().await;
        steps.tried(before.unwrap_or_default());
    }
    ledger.holds(&server).await;
    gallery.check_clean().await;
    drop(server);
    gallery.gone().await;
}

/// The photo once a worker is done with it; `None` when the worker died before.
async fn settled(server: &Process, worker: &Worker, id: &str, is_over: impl Fn() -> bool) -> Option<Value> {
    for _ in 0..600 {
        let (status, photo) = server.json(&format!("/photos/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{photo}");
        if photo["state"] == "labelled" || photo["state"] == "failed" {
            return Some(photo);
        }
        if is_over() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("photo {id} was not finished within 30 s: {}", worker.log());
}

/// A labelling, killed before each step: the next worker finishes it, with the same labels, once.
async fn labellings(what: &str, gallery: Gallery) {
    let mut steps = Steps::new(what);
    let rekognition = Rekognition::start().await;
    let gallery = gallery.labelled_by(rekognition.url());
    let ledger = Ledger::default();
    let server = gallery.serve_only().await;
    loop {
        let id = ledger.uploaded(&server, &picture(steps.next)).await;
        let worker = gallery.work();
        let debugger = Debugger::attach(worker.id(), steps.next, From::FirstLogLine);
        let done = settled(&server, &worker, &id, || debugger.is_over()).await;
        let struck = debugger.struck();
        worker.kill();
        let (counted, before) = debugger.ended();
        let done = match (done, struck) {
            (Some(done), None) => {
                assert_eq!(done["labels"][0]["name"], "Dog", "{done}");
                steps.print(what, counted);
                break;
            }
            (done, _) => done,
        };
        gallery.leases_end().await;
        let next = gallery.work();
        let after = settled(&server, &next, &id, || false).await.expect("this one lives");
        assert!(done.is_none_or(|done| done["labels"] == after["labels"]));
        assert_eq!(after["state"], "labelled", "killed before {before:?}: {after} {}", next.log());
        assert_eq!(after["labels"].as_array().map(Vec::len), Some(1), "{after}");
        drop(next);
        gallery.check_clean().await;
        steps.tried(before.unwrap_or_default());
    }
    ledger.holds(&server).await;
    let counts = rekognition.counts();
    let twice = counts.iter().filter(|count| count.answered > 1).count();
    println!(
        "{what}: {} contents, of which {twice} were asked for again because the first answer was not stored yet",
        counts.len()
    );
    assert!(counts.iter().all(|count| count.answered <= 2), "{counts:?}");
    drop(server);
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_killed_before_any_write_is_one_photo_or_none_on_this_machine() {
    uploads("upload on SQLite and a folder", Gallery::on_this_machine()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_labelling_killed_before_any_write_is_finished_by_the_next_worker_on_this_machine() {
    labellings("labelling on SQLite and a folder", Gallery::on_this_machine()).await;
}

mod with_servers {
    use super::{Gallery, labellings, uploads};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_upload_killed_before_any_write_is_one_photo_or_none_on_servers() {
        uploads("upload on MariaDB and S3", Gallery::on_servers().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_labelling_killed_before_any_write_is_finished_by_the_next_worker_on_servers() {
        labellings("labelling on MariaDB and S3", Gallery::on_servers().await).await;
    }
}
