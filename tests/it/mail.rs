//! Mail as it reaches people: a mail server of the tests' own, and how the gallery does without one that works.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use std::path::PathBuf;

use photo_gallery::identity::{
    Identity as _, SignedUp,
    local::mail::{Encryption, Mail, Server},
};
use reqwest::{Method, StatusCode};

use crate::{
    catalog::Bed,
    identity::{
        local::{accounts, mail_by},
        named, newcomer,
    },
    process::{Process, cookies, free_port},
    site::{PASSWORD, Visit},
};

/// A mail as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) to: String,
    pub(crate) text: String,
}

/// A mail server that takes everything and keeps it (RFC 5321, as far as it is needed). Dropping it ends it.
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<Received>>>,
    accounts: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl MailServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mails) = (listener.local_addr().unwrap(), Arc::default());
        let accounts = Arc::default();
        let (kept, signed_in) = (Arc::clone(&mails), Arc::clone(&accounts));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (kept, signed_in) = (Arc::clone(&kept), Arc::clone(&signed_in));
                tokio::spawn(async move {
                    let _ = talk(stream, &kept, &signed_in).await;
                });
            }
        });
        Self { address, mails, accounts, serving }
    }

    /// All that came so far to this address, oldest first.
    pub(crate) fn to(&self, address: &str) -> Vec<Received> {
        let mails = self.mails.lock().unwrap();
        mails.iter().filter(|mail| mail.to.eq_ignore_ascii_case(address)).cloned().collect()
    }

    /// The mail to this address with this number, counted from 0; waits for it.
    pub(crate) async fn nth(&self, address: &str, number: usize) -> Received {
        for _ in 0..1000 {
            if let Some(mail) = self.to(address).get(number) {
                return mail.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("mail {number} to {address} did not come within 10 s");
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn talk(stream: TcpStream, mails: &Mutex<Vec<Received>>, accounts: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"220 here\r\n").await?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await? {
        let answer: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => b"250-here\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n",
            "AUTH" => {
                accounts.lock().unwrap().push(line);
                b"235 welcome\r\n"
            }
            "RCPT" => {
                line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
                b"250 ok\r\n"
            }
            "DATA" => {
                writing.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    text.push_str(&line);
                    text.push('\n');
                }
                mails.lock().unwrap().push(Received { to: std::mem::take(&mut to), text });
                b"250 kept\r\n"
            }
            "QUIT" => {
                writing.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        writing.write_all(answer).await?;
    }
    Ok(())
}

/// The code in a mail.
pub(crate) fn code_in(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("The code: ")).expect("a line with the code");
    line.trim().to_owned()
}

const ANN: &str = "ann@example.org";
const BEA: &str = "bea@example.org";

/// The settings for a mail server without encryption.
fn settings(address: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("GALLERY__LABELER", "none".to_owned()),
        ("GALLERY__LOG__FILTER", "trace".to_owned()),
        ("GALLERY__SERVER__BASE_URL", "https://gallery.example".to_owned()),
        ("GALLERY__IDENTITY__LOCAL__SMTP_HOST", address.ip().to_string()),
        ("GALLERY__IDENTITY__LOCAL__SMTP_PORT", address.port().to_string()),
        ("GALLERY__IDENTITY__LOCAL__SMTP_TLS", "none".to_owned()),
        ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "Photos <photos@gallery.example>".to_owned()),
    ]
}

async fn serve(folder: &std::path::Path, settings: &[(&'static str, String)]) -> Process {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Process::serve(folder, &settings).await
}

/// Signs up on the page, as a browser does.
async fn sign_up(server: &Process, email: &str) {
    let form = [("email", email), ("nickname", "Ann"), ("password", PASSWORD)];
    let answer = Visit::new(&server.url, None).ask(Method::POST, "/signup").form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
}

/// Waits until the log says this.
async fn logged(server: &Process, sentence: &str) -> String {
    for _ in 0..600 {
        let log = server.log();
        if log.contains(sentence) {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not logged within 30 s: {sentence}: {}", server.log());
}

#[tokio::test]
async fn a_mail_is_short_and_plain_and_tells_who_did_not_ask_what_to_do() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    for email in [ANN, BEA, ANN] {
        local.sign_up(&newcomer(email)).await.unwrap();
    }
    local.forgot(&named(BEA)).await.unwrap();
    let (confirm, reset, taken) = (mails.nth(BEA, 0).await, mails.nth(BEA, 1).await, mails.nth(ANN, 0).await);
    for (mail, page) in [(&confirm, "login"), (&reset, "forgot"), (&taken, "login")] {
        let text = &mail.text;
        assert!(
            text.contains("\nFrom: Photos <photos@gallery.example>\n") || text.starts_with("From: Photos <photos"),
            "{text}"
        );
        assert!(text.contains(&format!("https://gallery.example/{page}\n")), "{text}");
        assert!(text.contains("Auto-Submitted: auto-generated") && text.contains("If this was not you"), "{text}");
        assert!(
            text.contains("text/plain") && text.lines().all(|line| line.len() < 200) && text.len() < 1500,
            "{text}"
        );
    }
    assert_ne!(code_in(&confirm.text), code_in(&reset.text));
    assert!(!taken.text.contains("code") && taken.text.contains("has one already"), "{}", taken.text);
    bed.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_typed_in_another_browser_needs_the_password_too() {
    let (home, mails) = (tempfile::tempdir().unwrap(), MailServer::start().await);
    let server = serve(home.path(), &settings(mails.address)).await;
    sign_up(&server, ANN).await;
    let nobody = Visit::new(&server.url, None);
    let sent = async |visit: &Visit, path: &str, code: &str, password: &str| {
        let form = [("email", BEA), ("nickname", "Bea"), ("code", code), ("password", password)];
        visit.ask(Method::POST, path).header("accept", "text/html").form(&form).send().await.unwrap()
    };
    let own = Visit::new(&server.url, Some(&cookies(&sent(&nobody, "/signup", "", PASSWORD).await)));
    let field = "name=\"password\"";
    assert!(nobody.page("/confirm").await.text().await.unwrap().contains(field));
    assert!(!own.page("/confirm").await.text().await.unwrap().contains(field));

    let code = code_in(&mails.nth(BEA, 0).await.text);
    for (password, says) in
        [("", "Please enter the password that you chose"), ("not it at all", "This is not the password of")]
    {
        let answer = sent(&nobody, "/confirm", &code, password).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text().await.unwrap().contains(says), "{says}");
    }
    let own = Visit::new(&server.url, Some(&cookies(&sent(&own, "/confirm/resend", "", "").await)));
    let code = code_in(&mails.nth(BEA, 1).await.text);
    assert_eq!(sent(&own, "/confirm", &code, "").await.status(), StatusCode::SEE_OTHER);
    assert_eq!(sent(&nobody, "/confirm", &code, PASSWORD).await.status(), StatusCode::SEE_OTHER, "and with it");
}

/// SECURITY 32 and 37.
#[tokio::test(flavor = "multi_thread")]
async fn links_in_mails_lead_to_the_configured_address_whatever_a_request_says_and_no_log_tells_a_code() {
    let (home, mails) = (tempfile::tempdir().unwrap(), MailServer::start().await);
    let server = serve(home.path(), &settings(mails.address)).await;
    sign_up(&server, ANN).await;
    sign_up(&server, BEA).await;
    for (number, path) in ["/forgot", "/confirm/resend", "/signup"].into_iter().enumerate() {
        let evil = Visit::new(&server.url, None)
            .ask(Method::POST, path)
            .form(&[("email", BEA), ("nickname", "Bea"), ("password", PASSWORD)])
            .header("x-forwarded-host", "evil.example")
            .header("forwarded", "host=evil.example;proto=http")
            .header("x-forwarded-proto", "http");
        assert_eq!(evil.send().await.unwrap().status(), StatusCode::SEE_OTHER, "{path}");
        mails.nth(BEA, number + 1).await;
    }
    let log = server.log();
    for mail in mails.to(BEA) {
        assert!(mail.text.contains("https://gallery.example/") && !mail.text.contains("evil"), "{}", mail.text);
        let code = code_in(&mail.text);
        assert!(!log.contains(&code) && !log.contains(&code.replace(' ', "")), "a code in the log");
    }
    assert!(!log.contains(PASSWORD) && !log.contains("argon2id$"), "a password in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_down_is_logged_without_address_and_nobody_waits_for_it() {
    let home = tempfile::tempdir().unwrap();
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = serve(home.path(), &settings(closed)).await;
    sign_up(&server, ANN).await;
    sign_up(&server, BEA).await;
    let log = logged(&server, "a mail could not be sent").await;
    assert!(
        log.contains("as `identity.local.smtp_host`, `.smtp_port` and `.smtp_tls` say: Connection refused"),
        "{log}"
    );
    assert!(!log.contains(BEA), "{log}");
}

#[tokio::test]
async fn a_mail_server_is_signed_in_to_where_it_wants_that() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let server = Server {
        host: "127.0.0.1".to_owned(),
        port: Some(mails.address.port()),
        encryption: Encryption::None,
        account: Some(("photos".to_owned(), "mail secret".into())),
        from: "photos@gallery.example".to_owned(),
        base_url: None,
    };
    assert!(!format!("{server:?}").contains("mail secret"));
    let local = accounts(&bed, true, Some(Mail::new(&server).unwrap())).await;
    for email in [ANN, BEA] {
        local.sign_up(&newcomer(email)).await.unwrap();
    }
    let text = mails.nth(BEA, 0).await.text;
    assert!(!text.contains("http"), "a link without a configured address: {text}");
    // base64 of NUL photos NUL mail secret
    assert_eq!(*mails.accounts.lock().unwrap(), ["AUTH PLAIN AHBob3RvcwBtYWlsIHNlY3JldA=="]);
    bed.gone().await;
}

/// A mail server that cannot encrypt gets no mail where encryption is demanded.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_not_sent_in_the_clear_where_encryption_is_demanded() {
    let (home, mails) = (tempfile::tempdir().unwrap(), MailServer::start().await);
    let mut unencrypted = settings(mails.address);
    unencrypted.push(("GALLERY__IDENTITY__LOCAL__SMTP_TLS", "starttls".to_owned()));
    let process = serve(home.path(), &unencrypted).await;
    sign_up(&process, ANN).await;
    sign_up(&process, BEA).await;
    logged(&process, "STARTTLS is not supported on this server").await;
    assert!(mails.to(BEA).is_empty());
}

#[test]
fn mail_settings_that_cannot_work_are_refused_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let host = ("GALLERY__IDENTITY__LOCAL__SMTP_HOST", "mail.example.org");
    let from = ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "photos@gallery.example");
    let user = ("GALLERY__IDENTITY__LOCAL__SMTP_USER", "photos");
    let password = ("GALLERY__IDENTITY__LOCAL__SMTP_PASSWORD", "mail secret");
    let clear = ("GALLERY__IDENTITY__LOCAL__SMTP_TLS", "none");
    let nonsense = ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "the gallery");
    for (environment, code, says) in [
        (&[host][..], 78, "set identity.local.mail_from"),
        (&[host, nonsense], 1, "`identity.local.mail_from` must be an e-mail address"),
        (&[host, from, user], 78, "set both identity.local.smtp_user and identity.local.smtp_password"),
        (&[host, from, user, password, clear], 78, "could be read on the way"),
    ] {
        let output = crate::process::run(home.path(), &["account", "list"], environment, "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && told.contains(says), "{told}");
        assert!(!told.contains("mail secret"), "{told}");
    }
}

mod with_servers {
    use super::{
        Bed, Encryption, Mail, PathBuf, Process, Server, SignedUp, SocketAddr, accounts, code_in, logged, named,
        newcomer, serve, settings, sign_up,
    };
    use photo_gallery::identity::Identity as _;

    use crate::aws::server;

    fn address(variable: &str) -> SocketAddr {
        server(variable).parse().unwrap()
    }

    /// An address that nobody else has mails for.
    fn somebody() -> String {
        format!("{}@example.org", uuid::Uuid::now_v7().simple())
    }

    /// The mail to this address in the tests' Maildir; waits for it.
    async fn mailed(to: &str) -> String {
        let folder = PathBuf::from(server("TEST_MAILS")).join("new");
        for _ in 0..300 {
            for file in std::fs::read_dir(&folder).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
                if text.contains(&format!("To: {to}")) {
                    return text;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no mail to {to} within 15 s");
    }

    #[tokio::test]
    async fn a_code_goes_through_a_mail_server_of_another_make() {
        let bed = Bed::sqlite().await;
        let address = address("TEST_SMTP");
        let server = Server {
            host: address.ip().to_string(),
            port: Some(address.port()),
            encryption: Encryption::None,
            account: None,
            from: "Phötos <photos@gallery.example>".to_owned(),
            base_url: None,
        };
        let local = accounts(&bed, true, Some(Mail::new(&server).unwrap())).await;
        local.sign_up(&newcomer(&somebody())).await.unwrap();
        let to = somebody();
        assert!(matches!(local.sign_up(&newcomer(&to)).await.unwrap(), SignedUp::CodeSent(_)));
        local.confirm(&named(&to), &code_in(&mailed(&to).await).into(), &crate::identity::chooser()).await.unwrap();
        bed.gone().await;
    }

    /// A server whose second sign-up makes a mail; the address it goes to.
    async fn mailing(folder: &std::path::Path, variable: &str, tls: &'static str, trusts: bool) -> (Process, String) {
        let mut settings = settings(address(variable));
        settings.push(("GALLERY__IDENTITY__LOCAL__SMTP_TLS", tls.to_owned()));
        if trusts {
            settings.push(("SSL_CERT_FILE", server("TEST_SMTP_CA")));
        }
        let server = serve(folder, &settings).await;
        let to = somebody();
        sign_up(&server, &somebody()).await;
        sign_up(&server, &to).await;
        (server, to)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mail_goes_encrypted_to_a_server_that_is_trusted_and_to_no_other() {
        for (variable, tls) in [("TEST_SMTP_STARTTLS", "starttls"), ("TEST_SMTP_TLS", "required")] {
            let home = tempfile::tempdir().unwrap();
            let (_server, to) = mailing(home.path(), variable, tls, true).await;
            assert!(mailed(&to).await.contains("The code: "), "{variable}");
            let home = tempfile::tempdir().unwrap();
            let (mut server, to) = mailing(home.path(), variable, tls, false).await;
            let log = logged(&server, "invalid peer certificate: UnknownIssuer").await;
            assert!(!log.contains(&to) && server.is_alive(), "{log}");
        }
    }
}
