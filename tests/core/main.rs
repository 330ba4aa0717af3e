//! The sans-IO gateway in conversation: devices on one side, a broker on the other, both played by
//! the test. One file per conversation; each test is named for one behaviour.

mod conversations;
mod harness;
mod messages;

mod announce;
mod bad_input;
mod bulletin;
mod common_practice;
mod connect;
mod devices;
mod disconnect;
mod discovery;
mod filters;
mod floods;
mod forwarder;
mod homes;
mod identity;
mod keep_alive;
mod kick;
mod limits;
mod malformed;
mod memory;
mod policy;
mod prefix;
mod profiles;
mod publish_down;
mod publish_up;
mod reconfigure;
mod register;
mod retained;
mod sessions;
mod sharing;
mod signal;
mod sleep;
mod slow;
mod subscribe;
mod telling;
mod transparent;
mod upstream;
mod view;
mod will;
