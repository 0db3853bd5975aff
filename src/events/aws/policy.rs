//! Whether a queue's policy lets a topic send: the few of IAM's rules that such policies are made of.

use serde_json::Value;

/// The operators of conditions that compare an ARN or a text, each perhaps with `IfExists`.
const ALIKE: [&str; 4] = ["arnequals", "arnlike", "stringequals", "stringlike"];

/// Whether the policy `text` of the queue with the ARN `queue` lets `topic` send to it; `None` where that hangs on a condition other than those
/// that such policies have. A policy that cannot be read allows nothing.
pub(super) fn lets_send(text: &str, topic: &str, queue: &str) -> Option<bool> {
    let policy: Value = serde_json::from_str(text).unwrap_or_default();
    let (mut allowed, mut denied) = (Some(false), Some(false));
    for statement in listed(policy.get("Statement")) {
        let of_this = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => &mut allowed,
            Some("Deny") => &mut denied,
            _ => continue,
        };
        if is_about(statement, queue) {
            *of_this = either(*of_this, holds(statement.get("Condition"), topic));
        }
    }
    match (allowed, denied) {
        (Some(false), _) | (_, Some(true)) => Some(false),
        (Some(true), Some(false)) => Some(true),
        _ => None,
    }
}

/// Whether one of two is true, when it is not known of all.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

/// Whether a statement tells what SNS may send to the queue.
fn is_about(statement: &Value, queue: &str) -> bool {
    let principal = statement.get("Principal").unwrap_or(&Value::Null);
    let service = texts(Some(principal)).contains(&"*")
        || texts(principal.get("AWS")).contains(&"*")
        || texts(principal.get("Service")).iter().any(|name| *name == "*" || *name == "sns.amazonaws.com");
    let sends = texts(statement.get("Action")).iter().any(|action| is_like(&action.to_lowercase(), "sqs:sendmessage"));
    let here = texts(statement.get("Resource")).iter().any(|resource| is_like(resource, queue));
    service && sends && here
}

/// Whether a condition holds for what `topic` sends.
fn holds(condition: Option<&Value>, topic: &str) -> Option<bool> {
    let Some(condition) = condition.and_then(Value::as_object) else { return Some(true) };
    let mut fails = Some(false);
    for (operator, keys) in condition {
        let operator = operator.to_lowercase();
        for (key, values) in keys.as_object().into_iter().flatten() {
            let holds = compared(operator.strip_suffix("ifexists").unwrap_or(&operator), key, values, topic);
            fails = either(fails, holds.map(|holds| !holds));
        }
    }
    fails.map(|fails| !fails)
}

/// Whether what is known of `topic` under the name `key` is one of `values`.
fn compared(operator: &str, key: &str, values: &Value, topic: &str) -> Option<bool> {
    let known = match key.to_lowercase().as_str() {
        "aws:sourcearn" => topic,
        "aws:sourceaccount" => topic.split(':').nth(4)?,
        "aws:securetransport" => "true",
        _ => return None,
    };
    let is_one = texts(Some(values)).iter().any(|value| is_like(value, known));
    (ALIKE.contains(&operator) || operator == "bool").then_some(is_one)
}

/// One or several.
fn listed(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(several)) => several.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    listed(value).into_iter().filter_map(Value::as_str).collect()
}

/// Whether `text` is what `pattern` says, in which `*` stands for any characters and `?` for one.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern.trim_start_matches('*');
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            rest.is_empty() || ends.into_iter().any(|at| is_like(rest, &text[at..]))
        }
        Some(first) => {
            let mut left = text.chars();
            left.next().is_some_and(|next| first == '?' || first == next)
                && is_like(&pattern[first.len_utf8()..], left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::lets_send;

    const TOPIC: &str = "arn:aws:sns:us-west-2:123456789012:uploads-topic";
    const QUEUE: &str = "arn:aws:sqs:us-west-2:123456789012:uploads-queue";

    fn lets(statement: &Value) -> Option<bool> {
        lets_send(&json!({"Statement": statement}).to_string(), TOPIC, QUEUE)
    }

    #[test]
    fn a_policy_is_read_as_sqs_reads_it() {
        let allowed = json!({
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": QUEUE, "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
        });
        assert_eq!((lets(&allowed), lets(&json!([allowed]))), (Some(true), Some(true)));
        let with = |pointer: &str, value: Value| {
            let mut changed = allowed.clone();
            *changed.pointer_mut(pointer).expect(pointer) = value;
            changed
        };
        let denied = |statement: &Value| {
            let mut denied = statement.clone();
            denied["Effect"] = json!("Deny");
            denied
        };
        let unknown = with("/Condition", json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}));
        let same = [
            with("/Principal", json!("*")),
            with("/Principal", json!({"AWS": "*"})),
            with("/Principal", json!({"Service": ["s3.amazonaws.com", "sns.amazonaws.com"]})),
            with("/Action", json!(["sqs:ReceiveMessage", "SQS:SendMessage"])),
            with("/Action", json!("sqs:*")),
            with("/Resource", json!("*")),
            with("/Condition", json!({})),
            with("/Condition", json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:uploads-topi?"}})),
            with("/Condition", json!({"StringEquals": {"AWS:SourceAccount": ["1", "123456789012"]}})),
        ];
        let other = [
            with("/Effect", json!("Deny")),
            with("/Principal", json!({"Service": "s3.amazonaws.com"})),
            with("/Principal", json!({"AWS": "arn:aws:iam::123456789012:root"})),
            with("/Action", json!("sqs:ReceiveMessage")),
            with("/Resource", json!("arn:aws:sqs:us-west-2:123456789012:another")),
            with("/Condition", json!({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-west-2:123456789012:another"}})),
            json!([allowed, with("/Effect", json!("Deny"))]),
            json!([unknown, with("/Effect", json!("Deny"))]),
        ];
        let unclear = [
            unknown.clone(),
            with("/Condition", json!({"ArnNotEquals": {"aws:SourceArn": TOPIC}})),
            json!([allowed, denied(&unknown)]),
        ];
        let unencrypted = with("/Condition", json!({"Bool": {"aws:SecureTransport": "false"}}));
        let clear = [json!([allowed, denied(&unencrypted)]), json!([unknown, allowed])];
        for (statements, answer) in
            [(&same[..], Some(true)), (&clear, Some(true)), (&other, Some(false)), (&unclear, None)]
        {
            for statement in statements {
                assert_eq!(lets(statement), answer, "{statement}");
            }
        }
        for text in ["", "no JSON"] {
            assert_eq!(lets_send(text, TOPIC, QUEUE), Some(false));
        }
    }
}
