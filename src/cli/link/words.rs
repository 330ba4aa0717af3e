//! Refusals in words.

use crate::client::Refusal;
use crate::codec::ReturnCode;

/// Says why a request was refused.
pub(in crate::cli) fn explain_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Gateway(name, code) => format!("the gateway refused {name}: {}", reason(*code)),
        Refusal::TooLarge => "it does not fit into a packet".to_owned(),
        Refusal::TooMany => "too many requests wait for an answer".to_owned(),
    }
}

/// A return code with what it usually means.
pub(in crate::cli) fn reason(code: ReturnCode) -> String {
    match code {
        ReturnCode::CONGESTION => {
            "congestion (it is full, or its broker is away; try again later)".to_owned()
        }
        ReturnCode::INVALID_TOPIC_ID => "invalid topic id (is it predefined there?)".to_owned(),
        ReturnCode::NOT_SUPPORTED => "not supported (or not allowed)".to_owned(),
        ReturnCode(code) => format!("reserved code 0x{code:02X}"),
    }
}
