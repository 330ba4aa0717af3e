//! Core and MQTT session joined: bytes from devices and from the broker in, datagrams and bytes for
//! the broker out. Still pure; the runtime and the simulator drive the same thing.
