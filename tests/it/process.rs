//! The program itself, run as an operator runs it: its own process, its settings from the environment.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use reqwest::Client;

/// A running `photo-gallery`. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
}

/// The program with nothing of this process's environment that could set it.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photo-gallery"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").current_dir(folder);
    command
}

/// Runs the program to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    program(folder).args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Process {
    /// Starts the server in `folder` and waits for its first pong.
    pub(crate) async fn serve(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = program(folder);
        command.env("GALLERY__SERVER__PORT", port.to_string()).envs(environment.iter().copied());
        let mut process =
            Self { child: command.stdin(Stdio::null()).spawn().unwrap(), url: format!("http://127.0.0.1:{port}") };
        let client = Client::new();
        for _ in 0..600 {
            if client.get(format!("{}/ping", process.url)).send().await.is_ok() {
                return process;
            }
            assert!(process.is_alive(), "the server ended before its first pong");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not answer within 30 s");
    }

    /// Whether it runs on, as the same process.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory in MB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Asks it to stop as an operator does, and waits; whether it ended well.
    pub(crate) async fn terminate(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not stop within 30 s of SIGTERM");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
