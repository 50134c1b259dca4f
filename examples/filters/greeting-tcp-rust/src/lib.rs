//! A TCP filter: tells the upstream whom it talks to, and counts what passes.
//!
//! In front of the first bytes of a client goes one line, the greeting of the
//! configuration and the client's address. What follows passes as it is.

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, PeerType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

/// One for each plugin and thread.
#[derive(Default)]
struct Plugin {
    greeting: Rc<str>,
    metrics: Option<Metrics>,
}

/// The ids of the counters, which all connections share.
#[derive(Clone, Copy)]
struct Metrics {
    connections: u32,
    received: u32,
    sent: u32,
}

impl Metrics {
    /// A metric that exists already is found by its name, so this may be repeated.
    fn define() -> Result<Metrics, Status> {
        let counter = |name| hostcalls::define_metric(MetricType::Counter, name);
        Ok(Metrics {
            connections: counter("greeting_connections")?,
            received: counter("greeting_received_bytes")?,
            sent: counter("greeting_sent_bytes")?,
        })
    }
}

impl Context for Plugin {}

impl RootContext for Plugin {
    /// The configuration is the greeting, one line of text; without it, "hello".
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        let greeting = match std::str::from_utf8(&text) {
            Ok("") => "hello",
            Ok(line) if !line.contains(['\r', '\n']) => line,
            _ => {
                error!("greeting: the configuration must be one line of text");
                return false;
            }
        };
        self.greeting = greeting.into();
        match Metrics::define() {
            Ok(metrics) => self.metrics = Some(metrics),
            Err(status) => {
                error!("greeting: cannot define metrics: {status:?}");
                return false;
            }
        }
        true
    }

    /// A stream is a TCP connection here, not a request.
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, _id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Connection {
            greeting: self.greeting.clone(),
            metrics: self.metrics?,
            greeted: false,
            received: 0,
            sent: 0,
        }))
    }
}

/// One for each connection.
struct Connection {
    greeting: Rc<str>,
    metrics: Metrics,
    greeted: bool,
    received: u64,
    sent: u64,
}

impl Connection {
    /// Adds to a counter. Zero is left out: a host takes it for a mistake.
    fn count(&self, metric: u32, amount: usize) {
        if amount > 0 {
            let _ = hostcalls::increment_metric(metric, amount as i64);
        }
    }
}

impl Context for Connection {}

impl StreamContext for Connection {
    fn on_new_connection(&mut self) -> Action {
        self.count(self.metrics.connections, 1);
        Action::Continue
    }

    fn on_downstream_data(&mut self, size: usize, _end: bool) -> Action {
        self.received += size as u64;
        self.count(self.metrics.received, size);
        if size > 0 && !self.greeted {
            self.greeted = true;
            let address = self
                .get_property(vec!["source", "address"])
                .unwrap_or_default();
            let address = String::from_utf8_lossy(&address);
            let line = format!("{} {}\n", self.greeting, address);
            // At 0, in the place of 0 bytes: in front.
            self.set_downstream_data(0, 0, line.as_bytes());
        }
        Action::Continue
    }

    fn on_upstream_data(&mut self, size: usize, _end: bool) -> Action {
        self.sent += size as u64;
        self.count(self.metrics.sent, size);
        Action::Continue
    }

    fn on_downstream_close(&mut self, peer: PeerType) {
        info!("greeting: closed by {peer:?}");
    }

    fn on_log(&mut self) {
        info!(
            "greeting: received {} bytes, sent {}",
            self.received, self.sent
        );
    }
}
