//! The sans-IO gateway in conversation: devices on one side, a broker on the other, both played by
//! the test. One file per conversation; each test is named for one behaviour.

mod harness;
mod messages;

mod announce;
mod bad_input;
mod connect;
mod disconnect;
mod discovery;
mod floods;
mod forwarder;
mod identity;
mod keep_alive;
mod limits;
mod malformed;
mod memory;
mod prefix;
mod profiles;
mod publish_down;
mod publish_up;
mod register;
mod sessions;
mod sharing;
mod sleep;
mod subscribe;
mod telling;
mod upstream;
mod will;
