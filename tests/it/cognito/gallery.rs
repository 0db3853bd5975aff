//! A gallery whose people are a pool's, by its pages.

mod with_servers {
    use photo_gallery::settings::{Cognito, Flow, Identity, Settings};
    use reqwest::{Client, Method, Response, StatusCode, header, header::HeaderMap, redirect::Policy};
    use url::Url;

    use crate::{
        aws,
        cognito::{
            OnMiniStack, Setup,
            hosted::with_servers::{ALL, GALLERY, filled_in, pool},
        },
        pictures,
        site::{PASSWORD, Site, Visit},
    };

    const BEA: &str = "bea@example.org";

    /// The settings for this pool; the pool is asked again about somebody at each request.
    fn of(pool: &OnMiniStack, domain: Option<String>) -> impl FnOnce(&mut Settings) {
        let cognito = Cognito {
            pool_id: pool.pool.clone(),
            client_id: pool.app.id.clone(),
            client_secret: pool.app.secret.clone(),
            domain,
            scopes: None,
            flow: Flow::UserPassword,
            region: None,
            endpoint: Some(aws::server("TEST_MINISTACK")),
        };
        move |settings| {
            settings.identity = Identity::Cognito(cognito);
            settings.session.renew_minutes = 0;
        }
    }

    /// A browser that keeps its cookies.
    fn browser(site: &Site) -> Visit {
        let headers = HeaderMap::from_iter([
            ("sec-fetch-site".parse().unwrap(), "same-origin".parse().unwrap()),
            (header::ACCEPT, "text/html".parse().unwrap()),
        ]);
        let client = Client::builder().cookie_store(true).redirect(Policy::none()).default_headers(headers);
        Visit { url: site.url.clone(), client: client.build().unwrap(), cookie: None }
    }

    async fn send(browser: &Visit, path: &str, fields: &[(&str, &str)]) -> Response {
        browser.ask(Method::POST, path).form(fields).send().await.unwrap()
    }

    /// Where an answer leads.
    fn leads_to(answer: &Response) -> &str {
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
        answer.headers()[header::LOCATION].to_str().unwrap()
    }

    async fn is_signed_in(browser: &Visit) -> bool {
        browser.page("/account").await.status() == StatusCode::OK
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn somebody_signs_up_confirms_signs_in_and_is_out_when_disabled() {
        let pool = OnMiniStack::with(Setup::default()).await;
        let site = Site::with(of(&pool, None)).await;
        let bea = browser(&site);
        let account = [("email", BEA), ("nickname", "Bea"), ("password", PASSWORD)];
        assert_eq!(leads_to(&send(&bea, "/signup", &account).await), "/confirm");
        let early = send(&bea, "/login", &account).await;
        assert_eq!(early.status(), StatusCode::UNAUTHORIZED);
        assert!(early.text().await.unwrap().contains("/confirm"), "there is a way to the code");
        assert_eq!(
            leads_to(&send(&bea, "/confirm", &[("email", BEA), ("code", "123456")]).await),
            "/login?done=confirmed"
        );
        let wrong = send(&bea, "/login", &[("email", BEA), ("password", "wrong battery staple")]).await;
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(leads_to(&send(&bea, "/login", &account).await), "/");
        let page = bea.page("/account").await.text().await.unwrap();
        assert!(page.contains(BEA) && page.contains("Bea"), "{page}");
        bea.uploaded("a.jpg", pictures::jpeg(40, 30, 1)).await;
        send(&bea, "/account/nickname", &[("nickname", "Beatrix")]).await;
        assert!(bea.page("/account").await.text().await.unwrap().contains("Beatrix"));

        pool.admin.admin_disable_user().user_pool_id(&pool.pool).username(BEA).send().await.unwrap();
        assert!(!is_signed_in(&bea).await);
        pool.admin.admin_enable_user().user_pool_id(&pool.pool).username(BEA).send().await.unwrap();
        assert!(!is_signed_in(&bea).await, "the session has ended for good");
        assert_eq!(leads_to(&send(&bea, "/login", &account).await), "/");
        assert_eq!(bea.json("/photos").await.1["photos"].as_array().map(Vec::len), Some(1), "they are hers still");
        pool.gone().await;
    }

    /// SECURITY 35.
    #[tokio::test(flavor = "multi_thread")]
    async fn somebody_signs_in_on_the_pools_pages_once_for_each_time_they_set_out() {
        let pool = pool(true, &ALL).await;
        let (of, base_url) = (of(&pool, Some(aws::server("TEST_MINISTACK"))), Some(GALLERY.to_owned()));
        let site = Site::with(move |settings| {
            of(settings);
            settings.server.base_url = base_url;
        })
        .await;
        let bea = browser(&site);
        let away = bea.page("/login?next=/labels").await;
        let back = filled_in(leads_to(&away)).await;
        let callback = back.strip_prefix(GALLERY).unwrap();
        let stranger = browser(&site);
        assert_eq!(stranger.page(callback).await.status(), StatusCode::BAD_REQUEST, "a foreign state");
        assert_eq!(leads_to(&bea.page(callback).await), "/labels");
        assert!(is_signed_in(&bea).await && !is_signed_in(&stranger).await);
        assert_eq!(bea.page(callback).await.status(), StatusCode::BAD_REQUEST, "the code again");

        let away = bea.ask(Method::POST, "/logout").send().await.unwrap();
        let refresh = away.headers()[header::REFRESH].to_str().unwrap();
        let url = Url::parse(refresh.split_once("url=").unwrap().1).unwrap();
        assert_eq!((url.path(), url.query_pairs().count()), ("/logout", 2));
        assert!(!is_signed_in(&bea).await);
        pool.gone().await;
    }
}
