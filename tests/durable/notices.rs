//! Notices as texts, each in one line.

use mqtt_sn_gateway::core::upstream::Waste;
use mqtt_sn_gateway::core::{Effects, Loss, Notice};

/// The notices that tests ask for; the others by the names that they have.
pub fn tell(fx: &Effects, notice: &Notice) -> String {
    let text = |span| String::from_utf8_lossy(fx.bytes(span)).into_owned();
    match notice {
        Notice::Lost { client, why, will } => {
            let why = match why {
                Loss::Silent { .. } => "silent",
                Loss::NoAnswer { .. } => "no answer",
                Loss::Overslept { .. } => "overslept",
                Loss::Replaced => "replaced",
                Loss::Barred => "barred",
            };
            format!("lost: {}, {why}, will {will}", text(*client))
        }
        Notice::Wasted { topic, why } => {
            let why = if *why == Waste::Expired { "expired" } else { "refused" };
            format!("wasted: {}, {why}", text(*topic))
        }
        Notice::StoreFailed { kind, error } => format!("store failed: {kind}, {}", text(*error)),
        Notice::StoreRecovered { after } => format!("store recovered: {}", after.as_secs()),
        Notice::SubscriptionLost { filter } => format!("subscription lost: {}", text(*filter)),
        Notice::Moved { client, .. } => format!("moved: {}", text(*client)),
        Notice::Connected { client, resumed, .. } => {
            format!("connected: {}{}", text(*client), if *resumed { ", resumed" } else { "" })
        }
        Notice::LimitReached { client, limit } => {
            format!("limit: {} {}", text(*client), limit.label())
        }
        Notice::Refused { client, operation, code, .. } => {
            format!("refused: {} {operation} {}", text(*client), code.0)
        }
        Notice::Revoked { client, what, subject, rule, .. } => {
            let (client, subject, rule) = (text(*client), text(*subject), text(*rule));
            format!("revoked: {client} {what:?} {subject} by {rule}")
        }
        Notice::Abandoned { client, topic, .. } => {
            format!("abandoned: {} {}", text(*client), text(*topic))
        }
        other => format!("{other:?}"),
    }
}
