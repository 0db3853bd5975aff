//! The pages of accounts, asked as browsers and programs ask them.

use photo_gallery::settings::{Identity, Settings, SignUp, WithoutAccounts};
use reqwest::{Method, Response, StatusCode, header};

use crate::site::{ANN, PASSWORD, Site, Visit};

const NEW_PASSWORD: &str = "another horse, another battery";

/// What an answer says, without what differs from one to the next: the form's token and what was typed.
async fn said(answer: Response, typed: &str) -> (StatusCode, String) {
    let status = answer.status();
    let page = answer.text().await.unwrap();
    let lines = page.lines().filter(|line| !line.contains("name=\"token\""));
    (status, lines.collect::<Vec<_>>().join("\n").replace(typed, "TYPED"))
}

async fn sent(visit: &Visit, path: &str, fields: &[(&str, &str)]) -> Response {
    visit.ask(Method::POST, path).header(header::ACCEPT, "text/html").form(fields).send().await.unwrap()
}

fn location(answer: &Response) -> &str {
    answer.headers()[header::LOCATION].to_str().unwrap()
}

fn set_cookies(answer: &Response) -> Vec<String> {
    answer.headers().get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// Somebody who shows the cookies that an answer set.
fn visit_with(site: &Site, answer: &Response) -> Visit {
    let pairs: Vec<String> =
        set_cookies(answer).iter().map(|cookie| cookie.split(';').next().unwrap().to_owned()).collect();
    Visit::new(&site.url, Some(&pairs.join("; ")))
}

/// SECURITY 19, 56.
#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_page() {
    let site = Site::new().await;
    let tried = async |email: &str| {
        said(sent(&site.nobody(), "/login", &[("email", email), ("password", "not it at all")]).await, email).await
    };
    let known = tried(ANN).await;
    assert_eq!(known.0, StatusCode::UNAUTHORIZED);
    assert!(known.1.contains("The e-mail address or the password is not right."), "{}", known.1);
    assert_eq!(known, tried("nobody@example.org").await);
    let hostile = sent(&site.nobody(), "/login", &[("email", "<script>@x"), ("password", "<script>")]).await;
    let page = hostile.text().await.unwrap();
    assert!(page.contains("value=\"&#60;script&#62;@x\""), "what was typed is kept, as text");
    assert!(!page.contains("<script>") && !page.contains("not it at all"), "no script, and no password");
}

/// SECURITY 20.
#[tokio::test]
async fn a_taken_name_is_answered_like_a_new_one() {
    let site = Site::new().await;
    for email in [ANN, "new@example.org"] {
        let fields = [("email", email), ("nickname", "Somebody"), ("password", NEW_PASSWORD), ("next", "/labels")];
        let answer = sent(&site.nobody(), "/signup", &fields).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(location(&answer), "/login?done=signed-up&next=%2Flabels");
        assert!(!set_cookies(&answer).iter().any(|cookie| cookie.starts_with("session=")), "sign-up signs nobody in");
        let page = visit_with(&site, &answer).page(location(&answer)).await.text().await.unwrap();
        assert!(page.contains(&format!("value=\"{email}\"")), "the address need not be typed again: {page}");
    }
    let old = sent(&site.nobody(), "/login", &[("email", ANN), ("password", PASSWORD)]).await;
    assert_eq!(old.status(), StatusCode::SEE_OTHER, "the old password still holds");
}

#[tokio::test]
async fn malformed_fields_are_named_and_what_was_typed_is_kept() {
    let site = Site::new().await;
    let fields = [("email", "no address"), ("nickname", ""), ("password", "")];
    let answer = sent(&site.nobody(), "/signup", &fields).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = answer.text().await.unwrap();
    for expected in [
        "value=\"no address\"",
        "aria-describedby=\"email-problem\"",
        "id=\"email-problem\">An e-mail address looks like name@example.org.",
        "id=\"nickname-problem\">Please enter your name.",
        "id=\"password-problem\">Please choose a password.",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let short = [("email", "new@example.org"), ("nickname", ""), ("password", "short")];
    let page = sent(&site.nobody(), "/signup", &short).await.text().await.unwrap();
    assert!(
        page.contains("id=\"nickname-problem\"") && page.contains("id=\"password-problem\""),
        "all at once: {page}"
    );
    assert!(page.contains("id=\"password-problem\"") && !page.contains("value=\"short\""), "{page}");
}

#[tokio::test]
async fn the_first_account_owns_the_gallery_and_the_page_says_so() {
    let site = Site::new().await;
    sent(&site, "/account/delete", &[("password", PASSWORD)]).await;
    let mut asked = site.page("/login?next=/labels").await;
    for _ in 0..200 {
        if asked.status() == StatusCode::SEE_OTHER {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        asked = site.page("/login?next=/labels").await;
    }
    assert_eq!(location(&asked), "/signup?next=%2Flabels", "once nobody is left there is a first account to make");
    let page = site.page("/signup").await.text().await.unwrap();
    assert!(page.contains("will own the gallery"), "{page}");
    let fields = [("email", ANN), ("nickname", "Ann"), ("password", PASSWORD)];
    assert_eq!(location(&sent(&site, "/signup", &fields).await), "/login?done=signed-up");
    let page = site.page("/signup").await.text().await.unwrap();
    assert!(!page.contains("own the gallery"), "{page}");
    assert_eq!(site.page("/login").await.status(), StatusCode::OK);
}

/// SECURITY 53.
#[tokio::test]
async fn signing_in_leads_only_into_this_gallery() {
    let site = Site::new().await;
    let ways = [
        ("/photos?q=sea", "/photos?q=sea"),
        ("//evil", "/"),
        ("/\\evil", "/"),
        ("https:evil", "/"),
        ("/%09/evil", "/"),
        ("javascript:alert(1)", "/"),
        ("/%00", "/"),
    ];
    let long = format!("/{}", "a".repeat(5000));
    for (asked, expected) in ways.into_iter().chain([(long.as_str(), "/")]) {
        let fields = [("email", ANN), ("password", PASSWORD), ("next", asked)];
        let answer = sent(&site.nobody(), "/login", &fields).await;
        assert_eq!((answer.status(), location(&answer)), (StatusCode::SEE_OTHER, expected), "{asked}");
        let query: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
        let answer = site.page(&format!("/login?next={query}")).await;
        assert_eq!((answer.status(), location(&answer)), (StatusCode::SEE_OTHER, expected), "signed in, {asked}");
    }
    let asked = site.nobody().page("/photos?q=sea%20side").await;
    assert_eq!(location(&asked), "/login?next=%2Fphotos%3Fq%3Dsea%2520side");
    let page = site.nobody().page("/login?next=%2Fphotos%3Fq%3Dsea").await.text().await.unwrap();
    assert!(page.contains("name=\"next\" value=\"/photos?q=sea\""), "{page}");
}

#[tokio::test]
async fn programs_sign_in_with_a_form_or_json() {
    let site = Site::new().await;
    let fields = [("email", ANN), ("password", PASSWORD)];
    let by_form = site.nobody().post("/login", &fields).await;
    assert_eq!(by_form.status(), StatusCode::NO_CONTENT);
    let body = serde_json::json!({ "email": ANN, "password": PASSWORD });
    let json = site.nobody().ask(Method::POST, "/login").header(header::ACCEPT, "application/json").json(&body);
    let by_json = json.send().await.unwrap();
    assert_eq!(by_json.status(), StatusCode::NO_CONTENT);
    for answer in [by_form, by_json] {
        let (status, account) = visit_with(&site, &answer).json("/account").await;
        assert_eq!((status, &account["person"]["email"]), (StatusCode::OK, &ANN.into()));
    }
    let wrong = site.nobody().post("/login", &[("email", ANN), ("password", "not it at all")]).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let problem: serde_json::Value = wrong.json().await.unwrap();
    assert_eq!(problem["detail"], "The e-mail address or the password is not right.");
    let (status, problem) = site.nobody().json("/account").await;
    assert_eq!((status, &problem["detail"]), (StatusCode::UNAUTHORIZED, &"Please sign in first.".into()));
    let plain = site.nobody().ask(Method::POST, "/login").header(header::CONTENT_TYPE, "text/plain").body("email=a");
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

/// SECURITY 28, 31: the answer says how long to wait, in a header and in words.
#[tokio::test]
async fn too_many_tries_are_told_to_wait() {
    let site = Site::new().await;
    for _ in 0..200 {
        let answer = sent(&site.nobody(), "/login", &[("email", ANN), ("password", "not it at all")]).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            let seconds: u64 = answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
            let page = answer.text().await.unwrap();
            assert!(seconds > 0 && page.contains("too many tries. Please wait "), "{page}");
            assert!(page.contains(&format!("value=\"{ANN}\"")), "what was typed is kept");
            return;
        }
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    panic!("two hundred tries were let through");
}

/// SECURITY 48: a link signs nobody out.
#[tokio::test]
async fn signing_out_needs_a_button_and_ends_the_session() {
    let site = Site::new().await;
    let page = site.page("/logout").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(site.page("/account").await.status(), StatusCode::OK, "asking changes nothing");
    let left = sent(&site, "/logout", &[]).await;
    assert_eq!(location(&left), "/login?done=signed-out");
    assert!(set_cookies(&left).iter().any(|cookie| cookie.starts_with("session=;") && cookie.contains("Max-Age=0")));
    assert_eq!(location(&site.page("/account").await), "/login?next=%2Faccount", "the old cookie is worth nothing");
    assert_eq!(sent(&site, "/logout", &[]).await.status(), StatusCode::SEE_OTHER, "once more does no harm");
    assert_eq!(location(&site.page("/logout").await), "/login");
}

#[tokio::test]
async fn a_form_sent_after_the_session_ended_leads_back_to_its_page() {
    let site = Site::new().await;
    let id = "01890000-0000-7000-8000-000000000000";
    for (form, page) in [
        ("/account/nickname".to_owned(), "%2Faccount".to_owned()),
        ("/account/delete".to_owned(), "%2Faccount".to_owned()),
        ("/photos".to_owned(), "%2Fphotos".to_owned()),
        (format!("/photos/{id}/description"), format!("%2Fphotos%2F{}", id.replace('-', "%2D"))),
    ] {
        let answer = sent(&site.nobody(), &form, &[("nickname", "New")]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{form}");
        let told = answer.text().await.unwrap();
        assert!(told.contains("You have been signed out</h1>") && told.contains("Nothing was changed."), "{told}");
        assert!(told.contains(&format!("href=\"/login?next={page}\">Sign in")), "{form}: {told}");
    }
}

#[tokio::test]
async fn the_address_of_a_form_asked_for_a_page_leads_to_the_forms_page() {
    let site = Site::new().await;
    for form in ["nickname", "password", "sessions", "sign-out-everywhere"] {
        assert_eq!(location(&site.page(&format!("/account/{form}")).await), "/account", "{form}");
    }
    assert_eq!(location(&site.page("/confirm/resend").await), "/confirm");
}

#[tokio::test]
async fn the_account_page_tells_and_changes_who_one_is() {
    let site = Site::new().await;
    site.uploaded("a.jpg", crate::pictures::jpeg(40, 30, 77)).await;
    let hostile = "<script>alert(1)</script>";
    let renamed = sent(&site, "/account/nickname", &[("nickname", hostile)]).await;
    assert_eq!(location(&renamed), "/account?done=nickname#done");
    let (_, account) = site.json("/account").await;
    assert_eq!(account["person"]["nickname"], hostile);
    assert_eq!(account["usage"]["photos"], 1);
    assert_eq!(account["sessions"][0]["this_device"], true);
    for path in ["/account", "/photos", "/labels", "/nothing/here", "/account/delete"] {
        let page = site.page(path).await.text().await.unwrap();
        assert!(page.contains("&#60;script&#62;alert(1)") && !page.contains(hostile), "{path} shows the name as text");
        assert!(page.contains("action=\"/logout\""), "{path} keeps the way out");
    }
    let refused = sent(&site, "/account/nickname", &[("nickname", &"x".repeat(101))]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().await.unwrap().contains(&"x".repeat(101)), "what was typed is kept");
}

/// SECURITY 36, 39.
#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_renews_this_one() {
    let site = Site::new().await;
    let other = site.another(ANN).await;
    let wrong = sent(&site, "/account/password", &[("current", "not it at all"), ("new", NEW_PASSWORD)]).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let page = wrong.text().await.unwrap();
    assert!(page.contains("id=\"current-problem\">This is not your current password."), "{page}");
    let changed = sent(&site, "/account/password", &[("current", PASSWORD), ("new", NEW_PASSWORD)]).await;
    assert_eq!(location(&changed), "/account?done=password#done");
    let renewed = visit_with(&site, &changed);
    assert_eq!(renewed.page("/account").await.status(), StatusCode::OK);
    for ended in [&other, &site as &Visit] {
        assert_eq!(ended.page("/account").await.status(), StatusCode::SEE_OTHER);
    }
    let old = sent(&site.nobody(), "/login", &[("email", ANN), ("password", PASSWORD)]).await;
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED);
    let new = sent(&site.nobody(), "/login", &[("email", ANN), ("password", NEW_PASSWORD)]).await;
    assert_eq!(new.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_only() {
    let site = Site::new().await;
    let other = site.another(ANN).await;
    let bob = site.another("bob@example.org").await;
    let (_, account) = other.json("/account").await;
    let sessions = account["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|session| session["this_device"] == true).count(), 1);
    let handle = sessions[0]["handle"].as_str().unwrap();
    assert_eq!(sessions[0]["this_device"], true, "the one that asks stands first");
    for wrong in [handle, "0123456789abcdef", ""] {
        let answer = sent(&bob, "/account/sessions", &[("session", wrong)]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{wrong}");
    }
    assert_eq!(other.page("/account").await.status(), StatusCode::OK);
    let ended = sent(&site, "/account/sessions", &[("session", handle)]).await;
    assert_eq!(location(&ended), "/account?done=session#done");
    assert_eq!(other.page("/account").await.status(), StatusCode::SEE_OTHER);
    let everywhere = sent(&site, "/account/sign-out-everywhere", &[]).await;
    assert_eq!(location(&everywhere), "/login?done=signed-out-everywhere");
    assert_eq!(site.page("/account").await.status(), StatusCode::SEE_OTHER);
    assert_eq!(bob.page("/account").await.status(), StatusCode::OK, "others stay");
}

#[tokio::test]
async fn an_account_is_deleted_with_everything_in_it_once_its_password_is_given() {
    let site = Site::new().await;
    let bob = site.another("bob@example.org").await;
    site.uploaded("a.jpg", crate::pictures::jpeg(40, 30, 78)).await;
    bob.uploaded("b.jpg", crate::pictures::jpeg(40, 30, 79)).await;
    let page = site.page("/account/delete").await.text().await.unwrap();
    assert!(page.contains("1 photo with its original"), "{page}");
    for (password, status) in [("", StatusCode::UNPROCESSABLE_ENTITY), ("not it at all", StatusCode::UNAUTHORIZED)] {
        let refused = sent(&site, "/account/delete", &[("password", password)]).await;
        assert_eq!(refused.status(), status);
    }
    assert_eq!(site.json("/photos").await.1["photos"].as_array().unwrap().len(), 1);
    let deleted = sent(&site, "/account/delete", &[("password", PASSWORD)]).await;
    assert_eq!(location(&deleted), "/login?done=deleted");
    assert_eq!(site.page("/account").await.status(), StatusCode::SEE_OTHER);
    let again = sent(&site.nobody(), "/login", &[("email", ANN), ("password", PASSWORD)]).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    for _ in 0..200 {
        if site.stored().len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(site.stored().len(), 3, "what is left is bob's: an original and two renditions");
}

#[tokio::test]
async fn a_gallery_without_accounts_shows_nothing_of_them() {
    let none = |settings: &mut Settings| settings.identity = Identity::None(WithoutAccounts { public: false });
    let site = Site::with(none).await;
    let paths = ["/login", "/signup", "/confirm", "/forgot", "/reset", "/logout", "/account", "/account/delete"];
    for path in paths.into_iter().chain(["/login/challenge", "/callback?code=a&state=b", "/account/data"]) {
        assert_eq!(site.page(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/login", "/signup", "/logout", "/account/password", "/account/delete", "/account/sessions"] {
        let answer = sent(&site, path, &[("session", "a"), ("current", "a"), ("new", "b")]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let page = site.page("/photos").await.text().await.unwrap();
    assert!(page.contains("role=\"search\"") && !page.contains("/account") && !page.contains("/logout"), "{page}");
    assert_eq!(location(&site.page("/").await), "/photos");
}

#[tokio::test]
async fn without_mail_a_forgotten_password_is_the_operators_to_reset() {
    let site = Site::new().await;
    let page = site.nobody().page("/forgot").await.text().await.unwrap();
    assert!(page.contains("photo-gallery account reset") && !page.contains("<form"), "{page}");
    assert_eq!(location(&site.nobody().page("/reset").await), "/forgot");
    assert_eq!(location(&site.nobody().page("/confirm").await), "/login", "nobody got a code");
    let sent = sent(&site.nobody(), "/forgot", &[("email", ANN)]).await;
    assert_eq!(sent.status(), StatusCode::FORBIDDEN);
}

/// SECURITY 35: what comes back without having set out from this browser.
#[tokio::test]
async fn a_callback_that_nobody_waits_for_is_refused_with_a_way_back() {
    let site = Site::new().await;
    let ways = ["", "?code=a", "?state=b", "?code=a&state=b", "?error=access_denied&state=b", "?code=a&code=b&state=c"];
    for query in ways {
        let answer = site.nobody().page(&format!("/callback{query}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        assert!(!set_cookies(&answer).iter().any(|cookie| cookie.starts_with("session=")), "{query}");
        assert!(answer.text().await.unwrap().contains("href=\"/login\""), "{query}");
    }
}

/// SECURITY 44.
#[tokio::test]
async fn private_pages_are_kept_by_no_cache_and_only_under_their_own_name() {
    let site = Site::new().await;
    for path in ["/account", "/account/delete", "/logout", "/photos"] {
        let answer = site.page(path).await;
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{path}");
        assert!(answer.headers()[header::VARY].to_str().unwrap().contains("Cookie"), "{path}");
    }
    for path in ["/account/x.css", "/login/x.css", "/account/data/x.js"] {
        assert_eq!(site.page(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_closed_gallery_tells_people_and_programs_who_makes_accounts() {
    let site = Site::with(|settings| {
        if let Identity::Local(local) = &mut settings.identity {
            local.sign_up = SignUp::Closed;
        }
    })
    .await;
    let page = site.nobody().page("/signup").await;
    assert_eq!(page.status(), 403);
    assert!(page.text().await.unwrap().contains("ask its operator"));
    let (status, problem) = site.nobody().json("/signup").await;
    assert_eq!((status.as_u16(), &problem["status"]), (403, &403.into()));
    assert!(problem["detail"].as_str().unwrap().contains("ask its operator"), "{problem}");
}
