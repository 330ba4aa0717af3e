//! Plain counters of the core, read by whoever shows them.

/// Counters since start, and gauges. Packet counters are indexed by message type (§5.2.1).
#[derive(Clone, Debug)]
pub struct Stats {
    /// Datagrams received from devices, by message type.
    pub received: [u64; 32],
    /// Datagrams dropped as malformed, by [`DecodeError::index`](crate::codec::DecodeError::index).
    pub malformed: [u64; crate::codec::DecodeError::KINDS.len()],
    /// Well-formed packets dropped, by [`Drop`].
    pub dropped: [u64; Drop::ALL.len()],
    /// Repetitions from devices that were answered or swallowed but not acted on.
    pub duplicates: u64,
    /// Datagrams that the gateway repeated.
    pub retransmissions: u64,
    /// Limits reached, by [`Limit`].
    pub limits: [u64; Limit::ALL.len()],
    /// Refusals of a rule, by [`Denial`].
    pub denied: [u64; Denial::ALL.len()],
    /// Clients declared lost.
    pub lost: u64,
    /// Sessions that moved to another address.
    pub moved: u64,
    /// Wills published.
    pub wills: u64,
    /// Messages to devices that were given up.
    pub abandoned: u64,
    /// Messages that waited for longer than their publisher gave them (MQTT 5 message expiry).
    pub expired: u64,
    /// Times that a message for a device had to wait because its link had no room.
    pub held_back: u64,
    /// Times that a sleeping client collected its messages.
    pub wakes: u64,
    /// Of these, the ones that it did not see through.
    pub wakes_unfinished: u64,
    /// Publications that were taken over from clients and did not reach the broker.
    pub wasted: u64,
    /// Copies of one message from the broker that were recognised as such.
    pub copies: u64,
    /// Client records now.
    pub clients: u64,
    /// Of these, connected.
    pub connected: u64,
    /// Of these, asleep or awake to collect their messages.
    pub asleep: u64,
    /// Of these, in the middle of their will dialogues.
    pub handshakes: u64,
    /// Messages waiting for devices now.
    pub buffered: u64,
    /// Their octets.
    pub buffered_bytes: u64,
    /// Clients of which a message waits for room on their link now.
    pub lined_up: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            received: [0; 32],
            malformed: [0; crate::codec::DecodeError::KINDS.len()],
            dropped: [0; Drop::ALL.len()],
            duplicates: 0,
            retransmissions: 0,
            limits: [0; Limit::ALL.len()],
            denied: [0; Denial::ALL.len()],
            lost: 0,
            moved: 0,
            wills: 0,
            abandoned: 0,
            expired: 0,
            held_back: 0,
            wakes: 0,
            wakes_unfinished: 0,
            wasted: 0,
            copies: 0,
            clients: 0,
            connected: 0,
            asleep: 0,
            handshakes: 0,
            buffered: 0,
            buffered_bytes: 0,
            lined_up: 0,
        }
    }
}

macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the order of the counters.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// Label for logs and metrics.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)+ }
            }
        }
    };
}

labelled! {
    /// Why a well-formed packet was dropped.
    Drop {
        /// A type that only gateways send.
        WrongDirection = "wrong_direction",
        /// From an address without a connected client.
        Stranger = "stranger",
        /// QoS 1 or 2 with message id 0, which nothing could acknowledge.
        NoMessageId = "no_message_id",
        /// QoS −1 with a topic that a connectionless client cannot have, or switched off.
        Unauthenticated = "unauthenticated_publish",
        /// An acknowledgement for nothing that is in flight.
        Unexpected = "unexpected",
        /// Out of place in the will dialogue or before the connection is made.
        OutOfOrder = "out_of_order",
        /// QoS 0 while the broker is away or its connection is stalled.
        BrokerAway = "broker_away",
        /// From the broker, for nobody here.
        NoSubscriber = "no_subscriber",
    }
}

labelled! {
    /// What a rule, or the prefix of a topic, did not allow.
    Denial {
        /// CONNECT of this client id.
        Client = "client",
        /// A topic id for what may neither be published nor subscribed to.
        Register = "register",
        /// A publication on this topic.
        Publish = "publish",
        /// A subscription to all of this.
        Subscribe = "subscribe",
        /// A will on this topic.
        Will = "will",
        /// A publication or a will at this QoS.
        Qos = "max_qos",
        /// A topic that is too long, or a filter that is none, with the prefix in front of it.
        Prefix = "topic_prefix",
        /// A session that was there when the rules changed.
        Session = "session",
        /// What such a session had: a subscription, a will, a message that waits.
        Possession = "possession",
    }
}

labelled! {
    /// A limit that was reached.
    Limit {
        /// `sessions.max_clients`
        Clients = "clients",
        /// Will dialogues under way.
        Handshakes = "handshakes",
        /// `sessions.max_topics_per_client`
        Topics = "topics",
        /// `sessions.max_subscriptions_per_client`
        Subscriptions = "subscriptions",
        /// Publications or SUBSCRIBEs of one client that the broker has not acknowledged.
        InFlight = "in_flight",
        /// `sessions.max_buffered_messages`, `max_buffered_bytes` or `max_buffered_bytes_total`
        Buffer = "buffer",
        /// A message does not fit the link.
        PacketSize = "packet_size",
        /// DISCONNECTs to strangers.
        Strangers = "strangers",
        /// A client id that two devices seem to have.
        Takeovers = "takeovers",
        /// The state directory cannot be written to.
        Store = "store",
        /// New client ids from one address.
        Newcomers = "newcomers",
    }
}
