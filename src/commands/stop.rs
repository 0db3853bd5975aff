//! How a program that runs on and on is told to stop, ever more urgently.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the operator has said so far, by SIGTERM or Ctrl-C.
pub(super) struct Stop {
    /// Once: stop in order.
    pub(super) told: CancellationToken,
    /// Twice: without waiting for load balancers to look away.
    pub(super) hurried: CancellationToken,
}

impl Stop {
    /// Listens from here on. A third SIGTERM, or a second Ctrl-C, ends the program on the spot.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listening = "listening for signals to stop";
        let mut terminate = signal(SignalKind::terminate()).context(listening)?;
        let mut interrupt = signal(SignalKind::interrupt()).context(listening)?;
        let stop = Self { told: CancellationToken::new(), hurried: CancellationToken::new() };
        let (told, hurried) = (stop.told.clone(), stop.hurried.clone());
        tokio::spawn(async move {
            let (mut times, mut typed) = (0, 0);
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => typed += 1,
                }
                times += 1;
                if times > 2 || typed > 1 {
                    tracing::warn!("ending at once: requests and photos in hand are broken off");
                    std::process::exit(1);
                }
                if times == 1 { told.cancel() } else { hurried.cancel() }
            }
        });
        Ok(stop)
    }
}
