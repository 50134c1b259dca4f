//! A module of ABI 0.1.0, for tests. What it does, in the order of a request:
//!
//! - `x-deny: request` answers 403 from the request headers; `x-deny: response`
//!   answers 403 from the response headers.
//! - `x-call: SERVICE` pauses, GETs /check of SERVICE, puts the `:status` of the
//!   answer into the request header `x-called` and goes on.
//! - Sets the request header `x-abi` to `0.1.0` and the configuration's text.
//! - Holds a request body until it is whole, and appends ` (N bytes)` to it.
//! - Sets the response header `x-ticked` to `true` once a timer of 50 ms fired.
//! - Replaces `secret` in a response body by `******`, chunk by chunk.
//! - Logs `abi010: done PATH` at the end.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use log::{info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, LogLevel};

thread_local! {
    // Of the instance: this SDK gives a root no way to make its own streams.
    static CONFIGURATION: RefCell<String> = const { RefCell::new(String::new()) };
    static TICKED: Cell<bool> = const { Cell::new(false) };
}

#[no_mangle]
pub extern "C" fn _start() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin));
    proxy_wasm::set_http_context(|_, _| Box::new(Filter::default()));
}

struct Plugin;

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        self.set_tick_period(Duration::from_millis(50));
        true
    }

    /// `refuse` is refused.
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_configuration().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let accepted = text != "refuse";
        CONFIGURATION.with(|c| *c.borrow_mut() = text);
        accepted
    }

    fn on_tick(&mut self) {
        TICKED.with(|t| t.set(true));
    }
}

#[derive(Default)]
struct Filter {
    path: String,
    deny: Option<String>,
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _count: usize) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        self.deny = self.get_http_request_header("x-deny");
        if self.deny.as_deref() == Some("request") {
            self.send_http_response(403, vec![("x-denied", "request")], Some(b"denied\n"));
            return Action::Pause;
        }
        let abi = CONFIGURATION.with(|c| format!("0.1.0 {}", c.borrow()));
        self.set_http_request_header("x-abi", Some(&abi));
        self.set_http_request_header("content-length", None);
        let Some(service) = self.get_http_request_header("x-call") else {
            return Action::Continue;
        };
        let headers = vec![
            (":method", "GET"),
            (":path", "/check"),
            (":authority", &*service),
        ];
        match self.dispatch_http_call(&service, headers, None, vec![], Duration::from_secs(1)) {
            Ok(_) => Action::Pause,
            Err(status) => {
                warn!("abi010: cannot call: {status:?}");
                self.set_http_request_header("x-called", Some("refused"));
                Action::Continue
            }
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        self.set_http_request_body(size, 0, format!(" ({size} bytes)").as_bytes());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize) -> Action {
        if self.deny.as_deref() == Some("response") {
            self.deny = None; // the reply passes here too
            self.send_http_response(403, vec![("x-denied", "response")], Some(b"denied\n"));
            return Action::Pause;
        }
        let ticked = TICKED.with(Cell::get);
        self.set_http_response_header("x-ticked", Some(if ticked { "true" } else { "false" }));
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        if let Some(body) = self.get_http_response_body(0, size) {
            let text = String::from_utf8_lossy(&body);
            if text.contains("secret") {
                self.set_http_response_body(0, size, text.replace("secret", "******").as_bytes());
            }
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        info!("abi010: done {}", self.path);
    }
}

impl Context for Filter {
    fn on_http_call_response(
        &mut self,
        _token: u32,
        headers: usize,
        _body: usize,
        _trailers: usize,
    ) {
        let status = match headers {
            0 => None,
            _ => self.get_http_call_response_header(":status"),
        };
        self.set_http_request_header("x-called", Some(status.as_deref().unwrap_or("broken")));
        self.resume_http_request();
    }
}
