//! `/ping`: says that this process answers; asks nothing of anything else.

use actix_web::{HttpResponse, http::header, web};

use super::Site;

/// The answer a load balancer waits for, word for word the course's; 503 while this instance is about to stop.
pub async fn ping(site: web::Data<Site>) -> HttpResponse {
    let (mut response, body) = if site.draining.is_cancelled() {
        (HttpResponse::ServiceUnavailable(), r#"{"status":"error","message":"stopping"}"#)
    } else {
        (HttpResponse::Ok(), r#"{"status":"success","message":"pong!"}"#)
    };
    response.insert_header((header::CACHE_CONTROL, "no-store")).content_type("application/json").body(body)
}
