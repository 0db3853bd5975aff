//! Events within one process: a bounded channel. What does not fit is left to the worker's sweep.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

use super::{Announcement, Depth, Events, Message, Subject, TraceContext, trace};
use crate::photo::PhotoId;

/// A bounded channel from uploads to the worker.
pub struct InProcess {
    sender: mpsc::Sender<(PhotoId, Option<TraceContext>)>,
    receiver: Mutex<mpsc::Receiver<(PhotoId, Option<TraceContext>)>>,
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
    async fn announce(&self, upload: &Announcement) -> anyhow::Result<()> {
        if self.sender.try_send((upload.photo, trace::current())).is_err() {
            tracing::debug!(photo = %upload.photo, "the channel is full; the sweep will find this photo");
        }
        Ok(())
    }

    fn announces(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn next(&self) -> anyhow::Result<Vec<Message>> {
        let (photo, trace) = self
            .receiver
            .lock()
            .await
            .recv()
            .await
            .ok_or_else(|| anyhow::anyhow!("the channel of events is closed"))?;
        Ok(vec![Message { subjects: Ok(vec![Subject::Photo(photo)]), trace, received: 0, receipt: String::new() }])
    }

    async fn done(&self, _message: &Message) -> anyhow::Result<()> {
        Ok(())
    }

    /// What is given back is found by the sweep.
    async fn put_off(&self, _message: &Message, _pause: Duration) -> anyhow::Result<()> {
        Ok(())
    }

    fn in_hand_for(&self) -> Option<Duration> {
        None
    }

    async fn depth(&self) -> anyhow::Result<Option<Depth>> {
        Ok(None)
    }
}
