//! A server that gives every request the same answer: for headers that the independent servers do not send.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Starts it with the test's runtime; its address. `head` is the status line and headers of every answer, each line ended.
pub(super) async fn answering(head: String) -> String {
    saying(head, "").await
}

/// Like [`answering`], with a body.
pub(super) async fn saying(head: String, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!("HTTP/1.1 {head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            tokio::spawn(async move {
                let mut asked = [0; 8192];
                // A client that gave up in the meantime is no matter of the server's.
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    url
}
