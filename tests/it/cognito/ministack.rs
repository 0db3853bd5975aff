//! A pool on MiniStack, with `AUTH=true`: it checks secrets, flows, codes and signatures, and proves passwords by SRP.

use aws_sdk_cognitoidentityprovider::{
    Client,
    types::{
        AttributeType, ExplicitAuthFlowsType as Allows, OAuthFlowType, PasswordPolicyType,
        PreventUserExistenceErrorTypes, UserPoolMfaType, UserPoolPolicyType, UserStatusType, UsernameAttributeType,
        VerifiedAttributeType,
    },
};
use chrono::Utc;
use photo_gallery::identity::{
    SignInName,
    cognito::{AppClient, Cognito, Flow, Pages},
};
use secrecy::SecretString;

use crate::{aws, site::PASSWORD};

/// How a pool and its app client are set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) secret: bool,
    pub(crate) flow: Flow,
    /// Whether strangers are told nothing (`PreventUserExistenceErrors`).
    pub(crate) discreet: bool,
    pub(crate) mfa: bool,
    /// Where the pool's own pages lead back to.
    pub(crate) base_url: Option<String>,
    pub(crate) scopes: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        let scopes = vec!["openid", "email", "profile", "aws.cognito.signin.user.admin"];
        Self { secret: true, flow: Flow::Password, discreet: true, mfa: false, base_url: None, scopes }
    }
}

/// A pool of its own, and the gallery's view of it.
pub(crate) struct OnMiniStack {
    pub(crate) cognito: Cognito,
    pub(crate) admin: Client,
    pub(crate) pool: String,
    pub(crate) app: AppClient,
}

impl OnMiniStack {
    /// A pool such as the course's: people sign in with an e-mail address or a telephone number.
    pub(crate) async fn with(setup: Setup) -> Self {
        let endpoint = aws::server("TEST_MINISTACK");
        let root = aws::key("test", "test");
        let admin =
            Client::new(&aws::sdk_config(Some(aws::REGION.to_owned()), Some(endpoint.clone()), Some(root)).await);
        let policy = PasswordPolicyType::builder()
            .minimum_length(8)
            .require_lowercase(false)
            .require_uppercase(false)
            .require_numbers(false)
            .require_symbols(false);
        let pool = admin
            .create_user_pool()
            .pool_name("gallery")
            .username_attributes(UsernameAttributeType::Email)
            .username_attributes(UsernameAttributeType::PhoneNumber)
            .auto_verified_attributes(VerifiedAttributeType::Email)
            .policies(UserPoolPolicyType::builder().password_policy(policy.build()).build())
            .mfa_configuration(if setup.mfa { UserPoolMfaType::Optional } else { UserPoolMfaType::Off })
            .send()
            .await
            .unwrap();
        let pool = pool.user_pool.unwrap().id.unwrap();
        let flow = match setup.flow {
            Flow::Password => Allows::AllowUserPasswordAuth,
            Flow::Srp => Allows::AllowUserSrpAuth,
        };
        let discreet = if setup.discreet {
            PreventUserExistenceErrorTypes::Enabled
        } else {
            PreventUserExistenceErrorTypes::Legacy
        };
        let mut making = admin
            .create_user_pool_client()
            .user_pool_id(&pool)
            .client_name("gallery")
            .generate_secret(setup.secret)
            .explicit_auth_flows(flow)
            .explicit_auth_flows(Allows::AllowRefreshTokenAuth)
            .prevent_user_existence_errors(discreet);
        if let Some(base_url) = &setup.base_url {
            making = making
                .allowed_o_auth_flows_user_pool_client(true)
                .allowed_o_auth_flows(OAuthFlowType::Code)
                .set_allowed_o_auth_scopes(Some(setup.scopes.iter().map(|scope| (*scope).to_owned()).collect()))
                .callback_urls(format!("{base_url}/callback"))
                .logout_urls(format!("{base_url}/"));
        }
        let made = making.send().await.unwrap().user_pool_client.unwrap();
        let app = AppClient { id: made.client_id.unwrap(), secret: made.client_secret.map(SecretString::from) };
        let pages = setup.base_url.map(|base_url| Pages { domain: endpoint.clone(), base_url, scopes: None });
        let cognito = super::cognito(&endpoint, &pool, app.clone(), setup.flow, pages, Utc::now).await;
        Self { cognito, admin, pool, app }
    }

    /// Another view of the same pool.
    pub(crate) async fn seen_by(&self, app: AppClient, flow: Flow) -> Cognito {
        super::cognito(&aws::server("TEST_MINISTACK"), &self.pool, app, flow, None, Utc::now).await
    }

    /// Somebody who was confirmed by the operator.
    pub(crate) async fn person(&self, name: &str, attributes: &[(&str, &str)]) {
        self.invited(name, attributes).await;
        let setting = self.admin.admin_set_user_password().user_pool_id(&self.pool).username(name);
        setting.password(PASSWORD).permanent(true).send().await.unwrap();
    }

    /// Somebody whom the operator gave a first password, "first battery staple".
    pub(crate) async fn invited(&self, name: &str, attributes: &[(&str, &str)]) {
        let mut making = self.admin.admin_create_user().user_pool_id(&self.pool).username(name);
        for (name, value) in attributes {
            making = making.user_attributes(AttributeType::builder().name(*name).value(*value).build().unwrap());
        }
        making.temporary_password("first battery staple").send().await.unwrap();
    }

    /// The code that was sent last: MiniStack sends this one to confirm accounts, and that one for new passwords.
    pub(crate) async fn code(&self, name: &SignInName) -> SecretString {
        let asking = self.admin.admin_get_user().user_pool_id(&self.pool).username(name.key());
        match asking.send().await.unwrap().user_status {
            Some(UserStatusType::Unconfirmed) => "123456".into(),
            _ => "654321".into(),
        }
    }

    pub(crate) async fn gone(self) {
        self.admin.delete_user_pool().user_pool_id(self.pool).send().await.unwrap();
    }
}

mod with_servers {
    use photo_gallery::identity::{Challenge, Chooser, Factor, Identity as _, Refusal, Response, Step};

    use super::{AppClient, Flow, OnMiniStack, PASSWORD, SecretString, Setup};
    use crate::{
        cognito::{entered, refused},
        identity::{named, newcomer},
    };

    const BEA: &str = "bea@example.org";

    fn pending(step: Step) -> photo_gallery::identity::Pending {
        match step {
            Step::Asked(pending) => pending,
            other => panic!("nothing is asked: {other:?}"),
        }
    }

    #[tokio::test]
    async fn somebody_invited_sets_a_password_of_their_own() {
        for flow in [Flow::Password, Flow::Srp] {
            let pool = OnMiniStack::with(Setup { flow, ..Setup::default() }).await;
            pool.invited(BEA, &[("email", BEA), ("nickname", "Bea")]).await;
            let asked = pool.cognito.sign_in(&named(BEA), &"first battery staple".into()).await.unwrap();
            let asked = pending(asked);
            assert_eq!(asked.challenge, Challenge::NewPassword { nickname: false });
            let response = Response::NewPassword { password: PASSWORD.into(), nickname: None };
            let who = entered(pool.cognito.respond(&asked, &response).await);
            assert_eq!(who.person.nickname.as_deref(), Some("Bea"));
            let again = entered(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await);
            assert_eq!(again.person, who.person);
            pool.gone().await;
        }
    }

    #[tokio::test]
    async fn an_authenticator_app_is_asked_for_its_code() {
        for (flow, secret) in [(Flow::Password, true), (Flow::Srp, false)] {
            let pool = OnMiniStack::with(Setup { flow, secret, mfa: true, ..Setup::default() }).await;
            pool.person(BEA, &[("email", BEA)]).await;
            let shared = enrolled(&pool).await;
            let asked = pending(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await.unwrap());
            assert_eq!(asked.challenge, Challenge::Code { by: Factor::Authenticator, to: None });
            let wrong = pool.cognito.respond(&asked, &Response::Code("000000".into())).await;
            assert_eq!(refused(wrong), Refusal::Code);
            let who = pool.cognito.respond(&asked, &Response::Code(totp(&shared).into())).await;
            assert_eq!(entered(who).person.email.as_deref(), Some(BEA));
            pool.gone().await;
        }
    }

    /// Gives Bea an authenticator app; its shared secret.
    async fn enrolled(pool: &OnMiniStack) -> Vec<u8> {
        let who = entered(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await);
        let access = crate::cognito::access_token(&who);
        let given = pool.admin.associate_software_token().access_token(&access).send().await.unwrap();
        let shared = base32(&given.secret_code.unwrap());
        let verifying = pool.admin.verify_software_token().access_token(&access).user_code(totp(&shared));
        verifying.send().await.unwrap();
        shared
    }

    fn base32(text: &str) -> Vec<u8> {
        let digits = text.trim_end_matches('=').chars().map(|c| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap());
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for digit in digits {
            bits = bits << 5 | u32::try_from(digit).unwrap();
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
                bits &= (1 << held) - 1;
            }
        }
        bytes
    }

    /// The code of this half minute (RFC 6238).
    fn totp(shared: &[u8]) -> String {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, shared);
        let count = u64::try_from(chrono::Utc::now().timestamp()).unwrap() / 30;
        let hash = ring::hmac::sign(&key, &count.to_be_bytes());
        let hash = hash.as_ref();
        let at = usize::from(hash[19] & 15);
        let number = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    #[tokio::test]
    async fn a_disabled_person_is_out_when_asked_about_and_does_not_get_in() {
        let pool = OnMiniStack::with(Setup::default()).await;
        pool.person(BEA, &[("email", BEA)]).await;
        let who = entered(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await);
        assert!(pool.cognito.renew(&who).await.unwrap().is_some());
        pool.admin.admin_disable_user().user_pool_id(&pool.pool).username(BEA).send().await.unwrap();
        assert!(pool.cognito.renew(&who).await.unwrap().is_none());
        assert_eq!(refused(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await), Refusal::Credentials);
        pool.admin.admin_enable_user().user_pool_id(&pool.pool).username(BEA).send().await.unwrap();
        entered(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await);
        pool.gone().await;
    }

    #[tokio::test]
    async fn signing_out_ends_one_sign_in_and_signing_out_everywhere_ends_all() {
        let pool = OnMiniStack::with(Setup::default()).await;
        pool.person(BEA, &[("email", BEA)]).await;
        let enter = async || entered(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await);
        let (first, second, third) = (enter().await, enter().await, enter().await);
        pool.cognito.sign_out(&first).await.unwrap();
        assert!(pool.cognito.renew(&first).await.unwrap().is_none());
        assert!(pool.cognito.renew(&second).await.unwrap().is_some());
        pool.cognito.sign_out_everywhere(&second).await.unwrap();
        assert!(pool.cognito.renew(&second).await.unwrap().is_none());
        assert!(pool.cognito.renew(&third).await.unwrap().is_none());
        pool.cognito.sign_out_everywhere(&third).await.unwrap();
        pool.gone().await;
    }

    /// SECURITY 36, the pool's part.
    #[tokio::test]
    async fn a_new_password_by_code_ends_earlier_sign_ins() {
        let pool = OnMiniStack::with(Setup::default()).await;
        pool.person(BEA, &[("email", BEA)]).await;
        let who = entered(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await);
        pool.cognito.forgot(&named(BEA)).await.unwrap();
        let code = pool.code(&named(BEA)).await;
        let owner = pool.cognito.reset(&named(BEA), &code, &"another battery staple".into()).await.unwrap();
        assert_eq!(owner, Some(who.person.owner.clone()));
        assert!(pool.cognito.renew(&who).await.unwrap().is_none());
        pool.gone().await;
    }

    /// SECURITY 25.
    #[tokio::test]
    async fn two_people_who_claim_one_address_are_two_owners() {
        let pool = OnMiniStack::with(Setup::default()).await;
        let address = ("email", "shared@example.org");
        for phone in ["+14155550101", "+14155550102"] {
            pool.person(phone, &[("phone_number", phone), address, ("email_verified", "false")]).await;
        }
        let first = entered(pool.cognito.sign_in(&named("+14155550101"), &PASSWORD.into()).await).person;
        let second = entered(pool.cognito.sign_in(&named("+14155550102"), &PASSWORD.into()).await).person;
        assert_eq!((first.email.as_deref(), second.email.as_deref()), (Some(address.1), Some(address.1)));
        assert_ne!(first.owner, second.owner);
        pool.gone().await;
    }

    #[tokio::test]
    async fn an_indiscreet_client_still_tells_strangers_nothing() {
        for flow in [Flow::Password, Flow::Srp] {
            let pool = OnMiniStack::with(Setup { flow, discreet: false, ..Setup::default() }).await;
            pool.person(BEA, &[("email", BEA)]).await;
            pool.cognito.sign_up(&newcomer("unconfirmed@example.org")).await.unwrap();
            let wrong: SecretString = "wrong battery staple".into();
            for name in [BEA, "nobody@example.org", "unconfirmed@example.org"] {
                let name = named(name);
                assert_eq!(refused(pool.cognito.sign_in(&name, &wrong).await), Refusal::Credentials);
                assert_eq!(
                    refused(pool.cognito.confirm(&name, &"000000".into(), &Chooser::default()).await),
                    Refusal::Code
                );
                assert_eq!(refused(pool.cognito.reset(&name, &"000000".into(), &wrong).await), Refusal::Code);
                pool.cognito.resend(&name).await.unwrap();
                pool.cognito.forgot(&name).await.unwrap();
            }
            assert!(pool.cognito.check().await.join("\n").contains("PreventUserExistenceErrors"));
            pool.gone().await;
        }
    }

    #[tokio::test]
    async fn a_telephone_number_signs_up_and_in() {
        let pool = OnMiniStack::with(Setup::default()).await;
        let phone = photo_gallery::identity::NewAccount { name: named("+14155550103"), ..newcomer("phil@example.org") };
        pool.cognito.sign_up(&phone).await.unwrap();
        pool.cognito.confirm(&phone.name, &pool.code(&phone.name).await, &Chooser::default()).await.unwrap();
        let who = entered(pool.cognito.sign_in(&phone.name, &phone.password).await).person;
        assert_eq!((who.email.as_deref(), who.nickname.as_deref()), (Some("+14155550103"), Some("phil")));
        pool.gone().await;
    }

    #[tokio::test]
    async fn a_right_setup_is_silent_and_a_wrong_one_says_which_setting() {
        let pool = OnMiniStack::with(Setup::default()).await;
        assert_eq!(pool.cognito.check().await, Vec::<String>::new());
        let other = |id: &str, secret: Option<&str>| AppClient { id: id.to_owned(), secret: secret.map(Into::into) };
        let id = pool.app.id.clone();
        let rows = [
            (other("unknownclient", Some("x")), Flow::Password, "identity.cognito.client_id"),
            (other(&id, Some("another")), Flow::Password, "client's secret is another one"),
            (other(&id, None), Flow::Password, "set `identity.cognito.client_secret`"),
            (pool.app.clone(), Flow::Srp, "ALLOW_USER_SRP_AUTH"),
        ];
        for (app, flow, says) in rows {
            let wrong = pool.seen_by(app, flow).await.check().await;
            assert!(wrong.len() == 1 && wrong[0].contains(says), "{wrong:?}");
        }
        pool.gone().await;
        let open = OnMiniStack::with(Setup { secret: false, flow: Flow::Srp, ..Setup::default() }).await;
        assert_eq!(open.cognito.check().await, Vec::<String>::new());
        let wrong = open.seen_by(other(&open.app.id, Some("x")), Flow::Srp).await.check().await;
        assert!(wrong.len() == 1 && wrong[0].contains("remove `identity.cognito.client_secret`"), "{wrong:?}");
        open.gone().await;
    }
}
