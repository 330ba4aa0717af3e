//! The conversations, one a file, in the order in which the protocol has them.

mod broker;
mod connect;
mod discovery;
mod incoming;
mod kick;
mod leave;
mod outbound;
mod ping;
mod probe;
mod publish_down;
mod publish_up;
mod queue;
mod register;
mod sleep;
mod subscribe;
mod takeover;
mod transparent;
mod turns;
mod will;

pub(crate) use connect::ID_STEP;
pub(crate) use incoming::{Incoming, Named};
pub(crate) use probe::CopyMode;
pub(crate) use transparent::told;
pub(crate) use will::About;
