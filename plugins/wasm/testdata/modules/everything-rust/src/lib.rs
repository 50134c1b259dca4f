//! One module for many tests. The request header `x-test` says what to do, as
//! words with commas between; words that are not known do nothing.
//!
//! At a PHASE, one of request-headers, request-body, request-trailers,
//! response-headers, response-body, response-trailers, log (and for faults also
//! call, the answer of a call, which needs the word `calls`):
//! - `reply@PHASE`  a local reply: 418, `x-reply: PHASE`, body `reply from PHASE\n`
//! - `panic@PHASE`  a trap
//! - `loop@PHASE`   never returns
//! - `hog@PHASE`    takes memory until there is none
//!
//! Bodies:
//! - `grow-request`      appends `[N]` to each piece of the request, N its size
//! - `buffer-request`    holds the request body and makes it upper case
//! - `replace-response`  holds the response body, puts `replaced N bytes\n` in its place
//! - `stream-response`   puts `<N>` in front of each piece of the response
//! - `trailers`          adds the trailer `x-trailer: added` to both
//!
//! And:
//! - `calls`   asks all `services` of the configuration at once, waits for all, and
//!   sets the request header `x-calls` to `NAME=STATUS:BODYSIZE` of each
//! - `wait`    waits for the next tick, and sets the request header `x-waited: true`
//! - `shared`  counts in shared data with compare-and-set; response header `x-shared`
//! - `queue`   puts the path into a shared queue; response header `x-queued` says
//!   how many the owner of the queue has taken out before
//! - `props`   response headers `x-prop-NAME`: properties as they were at the request
//!   headers, `-late-method` request.method at the response headers, `-set`
//!   one that this module set
//! - `metrics` counts in `everything_requests`, gauge `everything_open`, histogram
//!   `everything_path_bytes`; response header `x-count` is the counter
//! - `timer`   response header `x-ticks`: how many ticks there were
//!
//! Configuration, each field may be left out: `{"services": [NAME…], "tickMs": N,
//! "tcp": true}`. With `tcp` it is a TCP filter: it holds what the client sends until
//! a line is whole, makes it upper case, and puts `> ` in front of each answer.
//! `{"refuse": true}` is refused; `{"panic": true}` traps.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use log::info;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType, MetricType, Status};
use tinyjson::JsonValue;

const COUNT: &str = "everything.count";
const TAKEN: &str = "everything.taken";
const QUEUE: &str = "everything";

/// What `props` reads in the request headers: the name in the answer, and the path.
const PROPERTIES: [(&str, &[&str]); 7] = [
    ("method", &["request", "method"]),
    ("path", &["request", "path"]),
    ("header", &["request", "headers", "x-test"]),
    ("protocol", &["request", "protocol"]),
    ("source", &["source", "address"]),
    ("root", &["plugin_root_id"]),
    ("missing", &["no", "such", "thing"]),
];

// Where the SDK is of ABI 0.1.0 (../../abi010-rust) the module starts in another way,
// and is not told whether headers are all there is.

#[cfg(not(feature = "abi010"))]
proxy_wasm::main! {{ start() }}

#[cfg(feature = "abi010")]
#[no_mangle]
pub extern "C" fn _start() {
    start()
}

fn start() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}

/// What a root and its streams share.
#[derive(Default)]
struct Shared {
    services: Vec<String>,
    queue: u32,
    ticks: u64,
    waiting: Vec<u32>, // streams that the next tick resumes
    requests: u32,     // ids of metrics
    open: u32,
    path_bytes: u32,
}

#[derive(Default)]
struct Plugin {
    shared: Rc<RefCell<Shared>>,
    tcp: bool,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        #[cfg(not(feature = "abi010"))]
        let text = self.get_plugin_configuration().unwrap_or_default();
        #[cfg(feature = "abi010")]
        let text = self.get_configuration().unwrap_or_default();
        let json: JsonValue = match String::from_utf8_lossy(&text).parse() {
            Ok(json) => json,
            Err(_) if text.is_empty() => JsonValue::Object(HashMap::new()),
            Err(_) => return false,
        };
        let Some(fields) = json.get::<HashMap<String, JsonValue>>() else {
            return false;
        };
        let set = |name| fields.get(name).and_then(|v| v.get::<bool>()) == Some(&true);
        if set("panic") {
            panic!("as configured");
        }
        if set("refuse") {
            return false;
        }
        self.tcp = set("tcp");
        let mut shared = self.shared.borrow_mut();
        if let Some(names) = fields
            .get("services")
            .and_then(|v| v.get::<Vec<JsonValue>>())
        {
            shared.services = names
                .iter()
                .filter_map(|n| n.get::<String>().cloned())
                .collect();
        }
        if let Some(ms) = fields.get("tickMs").and_then(|v| v.get::<f64>()) {
            self.set_tick_period(Duration::from_millis(*ms as u64));
        }
        shared.queue = self.register_shared_queue(QUEUE);
        shared.requests = metric(MetricType::Counter, "everything_requests");
        shared.open = metric(MetricType::Gauge, "everything_open");
        shared.path_bytes = metric(MetricType::Histogram, "everything_path_bytes");
        true
    }

    fn on_tick(&mut self) {
        let waiting = {
            let mut shared = self.shared.borrow_mut();
            shared.ticks += 1;
            std::mem::take(&mut shared.waiting)
        };
        for id in waiting {
            // A stream that is gone cannot be made the effective one.
            if hostcalls::set_effective_context(id).is_ok() {
                hostcalls::set_map_value(MapType::HttpRequestHeaders, "x-waited", Some("true"))
                    .unwrap();
                hostcalls::resume_http_request().unwrap();
            }
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(item)) = self.dequeue_shared_queue(queue) {
            let taken = add_one(self, TAKEN);
            info!(
                "everything: taken {} as number {taken}",
                String::from_utf8_lossy(&item)
            );
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(if self.tcp {
            ContextType::StreamContext
        } else {
            ContextType::HttpContext
        })
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            id,
            shared: self.shared.clone(),
            words: Vec::new(),
            calls: HashMap::new(),
            answers: Vec::new(),
            props: Vec::new(),
            replied: false,
            open: false,
        }))
    }

    fn create_stream_context(&self, _id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Lines))
    }
}

fn metric(kind: MetricType, name: &str) -> u32 {
    hostcalls::define_metric(kind, name).unwrap()
}

/// Adds one to a number in shared data, again while others are faster; the new number.
fn add_one(context: &dyn Context, key: &str) -> u64 {
    loop {
        let (value, cas) = context.get_shared_data(key);
        let next = number(value) + 1;
        match context.set_shared_data(key, Some(next.to_string().as_bytes()), cas) {
            Ok(()) => return next,
            Err(Status::CasMismatch) => continue,
            Err(status) => panic!("cannot set shared data: {status:?}"),
        }
    }
}

/// A property as text; `none` when the host has none, or an empty one.
fn text(value: Option<Vec<u8>>) -> String {
    value.map_or("none".to_string(), |v| {
        String::from_utf8_lossy(&v).into_owned()
    })
}

fn number(value: Option<Vec<u8>>) -> u64 {
    value
        .and_then(|v| String::from_utf8(v).ok()?.parse().ok())
        .unwrap_or(0)
}

struct Stream {
    id: u32,
    shared: Rc<RefCell<Shared>>,
    words: Vec<String>,
    calls: HashMap<u32, String>,
    answers: Vec<String>,
    props: Vec<(&'static str, String)>,
    replied: bool,
    open: bool,
}

impl Stream {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|w| w == word)
    }

    /// Does what is asked for at a phase; true when a local reply was sent.
    fn enter(&mut self, phase: &str) -> bool {
        if self.has(&format!("panic@{phase}")) {
            panic!("in {phase}");
        }
        if self.has(&format!("loop@{phase}")) {
            let mut n = 0u64;
            loop {
                n = std::hint::black_box(n + 1);
            }
        }
        if self.has(&format!("hog@{phase}")) {
            let mut all = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
        }
        if self.replied || !self.has(&format!("reply@{phase}")) {
            return false;
        }
        self.replied = true; // the reply passes the response callbacks of this filter
        let body = format!("reply from {phase}\n");
        self.send_http_response(418, vec![("x-reply", phase)], Some(body.as_bytes()));
        true
    }

    /// Sends all calls; false when none could be sent.
    fn call_all(&mut self) -> bool {
        let services = self.shared.borrow().services.clone();
        for service in services {
            let headers = vec![
                (":method", "GET"),
                (":path", "/"),
                (":authority", &*service),
            ];
            match self.dispatch_http_call(&service, headers, None, vec![], Duration::from_secs(2)) {
                Ok(token) => drop(self.calls.insert(token, service)),
                Err(status) => self.answers.push(format!("{service}={status:?}")),
            }
        }
        if self.calls.is_empty() {
            self.join();
        }
        !self.calls.is_empty()
    }

    /// Puts the answers into the request, in the order of their names.
    fn join(&mut self) {
        self.answers.sort();
        self.set_http_request_header("x-calls", Some(&self.answers.join(" ")));
    }
}

impl Stream {
    fn request_headers(&mut self) -> Action {
        let words = self.get_http_request_header("x-test").unwrap_or_default();
        self.words = words.split(',').map(|w| w.trim().to_string()).collect();
        if self.enter("request-headers") {
            return Action::Pause;
        }
        let path = self.get_http_request_header(":path").unwrap_or_default();
        if ["grow-request", "buffer-request", "trailers"]
            .iter()
            .any(|w| self.has(w))
        {
            self.set_http_request_header("content-length", None);
        }
        if self.has("props") {
            for (name, path) in PROPERTIES {
                self.props
                    .push((name, text(self.get_property(path.to_vec()))));
            }
            self.set_property(vec!["everything"], Some(b"kept"));
        }
        if self.has("metrics") {
            let shared = self.shared.borrow();
            hostcalls::increment_metric(shared.requests, 1).unwrap();
            hostcalls::increment_metric(shared.open, 1).unwrap();
            hostcalls::record_metric(shared.path_bytes, path.len() as u64).unwrap();
            self.open = true;
        }
        if self.has("queue") {
            let queue = self
                .resolve_shared_queue("", QUEUE)
                .unwrap_or_else(|| self.shared.borrow().queue);
            self.enqueue_shared_queue(queue, Some(path.as_bytes()))
                .unwrap();
        }
        if self.has("wait") {
            self.shared.borrow_mut().waiting.push(self.id);
            return Action::Pause;
        }
        if self.has("calls") && self.call_all() {
            return Action::Pause;
        }
        Action::Continue
    }

    fn response_headers(&mut self) -> Action {
        if self.enter("response-headers") {
            return Action::Pause;
        }
        if ["replace-response", "stream-response", "trailers"]
            .iter()
            .any(|w| self.has(w))
        {
            self.set_http_response_header("content-length", None);
        }
        if self.has("shared") {
            let count = add_one(self, COUNT);
            self.set_http_response_header("x-shared", Some(&count.to_string()));
        }
        if self.has("queue") {
            let taken = number(self.get_shared_data(TAKEN).0);
            self.set_http_response_header("x-queued", Some(&taken.to_string()));
        }
        if self.has("timer") {
            let ticks = self.shared.borrow().ticks;
            self.set_http_response_header("x-ticks", Some(&ticks.to_string()));
        }
        if self.has("metrics") {
            let count = hostcalls::get_metric(self.shared.borrow().requests).unwrap();
            self.set_http_response_header("x-count", Some(&count.to_string()));
        }
        for (name, value) in std::mem::take(&mut self.props) {
            self.set_http_response_header(&format!("x-prop-{name}"), Some(&value));
        }
        if self.has("props") {
            let late = text(self.get_property(vec!["request", "method"]));
            self.set_http_response_header("x-prop-late-method", Some(&late));
            self.set_http_response_header(
                "x-prop-set",
                Some(&text(self.get_property(vec!["everything"]))),
            );
        }
        Action::Continue
    }
}

impl HttpContext for Stream {
    #[cfg(not(feature = "abi010"))]
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.request_headers()
    }

    #[cfg(feature = "abi010")]
    fn on_http_request_headers(&mut self, _count: usize) -> Action {
        self.request_headers()
    }

    #[cfg(not(feature = "abi010"))]
    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.response_headers()
    }

    #[cfg(feature = "abi010")]
    fn on_http_response_headers(&mut self, _count: usize) -> Action {
        self.response_headers()
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if self.enter("request-body") {
            return Action::Pause;
        }
        if self.has("grow-request") && size > 0 {
            self.set_http_request_body(size, 0, format!("[{size}]").as_bytes());
        }
        if self.has("buffer-request") {
            if !end {
                return Action::Pause;
            }
            let body = self.get_http_request_body(0, size).unwrap_or_default();
            self.set_http_request_body(0, size, &body.to_ascii_uppercase());
        }
        if self.has("trailers") && end {
            self.add_http_request_trailer("x-trailer", "added");
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if self.enter("request-trailers") {
            return Action::Pause;
        }
        if self.has("trailers") {
            self.add_http_request_trailer("x-trailer", "added");
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if self.enter("response-body") {
            return Action::Pause;
        }
        if self.has("stream-response") && size > 0 {
            self.set_http_response_body(0, 0, format!("<{size}>").as_bytes());
        }
        if self.has("replace-response") {
            if !end {
                return Action::Pause;
            }
            self.set_http_response_body(0, size, format!("replaced {size} bytes\n").as_bytes());
        }
        if self.has("trailers") && end {
            self.add_http_response_trailer("x-trailer", "added");
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        if self.enter("response-trailers") {
            return Action::Pause;
        }
        if self.has("trailers") {
            self.add_http_response_trailer("x-trailer", "added");
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if self.open {
            hostcalls::increment_metric(self.shared.borrow().open, -1).unwrap();
        }
        self.enter("log");
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _trailers: usize) {
        self.enter("call");
        let Some(service) = self.calls.remove(&token) else {
            panic!("an answer to call {token}, which was not made");
        };
        let status = match headers {
            0 => None,
            _ => self.get_http_call_response_header(":status"),
        };
        let status = status.unwrap_or_else(|| "broken".to_string());
        self.answers.push(format!("{service}={status}:{body}"));
        if self.calls.is_empty() {
            self.join();
            self.resume_http_request();
        }
    }
}

/// The TCP filter.
struct Lines;

impl Context for Lines {}

impl StreamContext for Lines {
    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        let bytes = self.get_downstream_data(0, size).unwrap_or_default();
        if !end && !bytes.ends_with(b"\n") {
            return Action::Pause;
        }
        self.set_downstream_data(0, size, &bytes.to_ascii_uppercase());
        Action::Continue
    }

    fn on_upstream_data(&mut self, size: usize, _end: bool) -> Action {
        if size > 0 {
            self.set_upstream_data(0, 0, b"> ");
        }
        Action::Continue
    }
}
