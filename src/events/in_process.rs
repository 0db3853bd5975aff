//! Events within one process: a bounded channel. What does not fit is left to the worker's sweep.

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

use super::{Events, Message};
use crate::photo::PhotoId;

/// A bounded channel from uploads to the worker.
pub struct InProcess {
    sender: mpsc::Sender<PhotoId>,
    receiver: Mutex<mpsc::Receiver<PhotoId>>,
}

impl InProcess {
    /// A channel that holds at most `capacity` messages.
    pub fn new(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

#[async_trait]
impl Events for InProcess {
    async fn announce(&self, photo: PhotoId) -> anyhow::Result<()> {
        if self.sender.try_send(photo).is_err() {
            tracing::debug!(%photo, "the channel is full; the sweep will find this photo");
        }
        Ok(())
    }

    async fn next(&self) -> anyhow::Result<Message> {
        let photo = self.receiver.lock().await.recv().await;
        photo.map(|photo| Message { photo }).ok_or_else(|| anyhow::anyhow!("the channel of events is closed"))
    }

    async fn done(&self, _message: Message) -> anyhow::Result<()> {
        Ok(())
    }
}
