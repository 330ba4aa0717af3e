//! The sans-IO gateway in conversation: devices on one side, a broker on the other, both played by
//! the test. One file per conversation; each test is named for one behaviour.

mod harness;
mod messages;

mod announce;
mod connect;
mod disconnect;
mod discovery;
mod forwarder;
mod keep_alive;
mod limits;
mod malformed;
mod memory;
mod prefix;
mod publish_down;
mod publish_up;
mod register;
mod sharing;
mod subscribe;
mod telling;
mod upstream;
mod will;
