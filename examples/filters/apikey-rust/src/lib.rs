//! Lets a request through only when another service knows its API key.
//!
//! The request waits while that service is asked. It goes on when the answer is
//! 200, without the key and with the name of the consumer; otherwise the client
//! gets 401 (no key), 403 (a wrong one) or 503 (nobody could say).

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use log::{error, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use tinyjson::JsonValue;

const KEY: &str = "x-api-key";
const CONSUMER: &str = "x-api-consumer";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { config: None }));
}}

/// What the document's `configuration` says.
struct Config {
    service: String,
    path: String,
    timeout: Duration,
}

impl Config {
    /// Reads `{"service": …, "path": …, "timeoutMs": …}`; the last may be left out.
    fn parse(bytes: &[u8]) -> Result<Config, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let json: JsonValue = text.parse().map_err(|_| "it is not JSON")?;
        let fields: &HashMap<String, JsonValue> = json.get().ok_or("it is not an object")?;
        let string = |name: &str| match fields.get(name).and_then(|v| v.get::<String>()) {
            Some(s) if !s.is_empty() => Ok(s.clone()),
            _ => Err(format!("{name} must be a string with something in it")),
        };
        let timeout = match fields.get("timeoutMs") {
            None => 1000.0,
            Some(v) => match v.get::<f64>() {
                Some(ms) if (1.0..=60_000.0).contains(ms) => *ms,
                _ => return Err("timeoutMs must be a number from 1 to 60000".into()),
            },
        };
        Ok(Config {
            service: string("service")?,
            path: string("path")?,
            timeout: Duration::from_millis(timeout as u64),
        })
    }
}

/// One for each plugin and thread; makes a filter for each request.
struct Plugin {
    config: Option<Rc<Config>>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    /// False refuses the configuration, and what ran before goes on running. The
    /// message says what is wrong, and not what was given: it may hold a secret.
    fn on_configure(&mut self, _size: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => self.config = Some(Rc::new(config)),
            Err(reason) => {
                error!("apikey: bad configuration: {reason}");
                return false;
            }
        }
        true
    }

    /// Without this the SDK does not know what to make of a stream, and panics.
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let config = self.config.clone()?;
        Some(Box::new(Filter { config }))
    }
}

/// One for each request.
struct Filter {
    config: Rc<Config>,
}

impl Filter {
    /// Answers in the place of the upstream.
    fn refuse(&self, status: u32, reason: &str) {
        let mut headers = vec![("content-type", "text/plain")];
        if status == 401 {
            headers.push(("www-authenticate", "ApiKey"));
        }
        self.send_http_response(status, headers, Some(reason.as_bytes()));
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        // Only the service says who the consumer is, never the client.
        self.set_http_request_header(CONSUMER, None);
        let Some(key) = self.get_http_request_header(KEY) else {
            self.refuse(401, "an API key is needed in the header x-api-key\n");
            return Action::Pause;
        };
        let call = self.dispatch_http_call(
            &self.config.service,
            vec![
                (":method", "GET"),
                (":path", &self.config.path),
                (":authority", &self.config.service),
                (KEY, &key),
            ],
            None,
            vec![],
            self.config.timeout,
        );
        if let Err(status) = call {
            // The service is not among the document's `services`, as a rule.
            warn!("apikey: cannot call {}: {status:?}", self.config.service);
            self.refuse(503, "API keys cannot be checked now\n");
        }
        Action::Pause
    }
}

impl Context for Filter {
    /// The answer. A dead service answers too: with a 503, or with a 504 when it
    /// is slow; a connection that broke gives no headers at all.
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
        match status.as_deref() {
            Some("200") => {
                // The request waits in its header phase, so its headers can still be changed.
                if let Some(consumer) = self.get_http_call_response_header(CONSUMER) {
                    self.set_http_request_header(CONSUMER, Some(&consumer));
                }
                self.set_http_request_header(KEY, None);
                self.resume_http_request();
            }
            Some("401" | "403" | "404") => self.refuse(403, "this API key is not valid\n"),
            _ => self.refuse(503, "API keys cannot be checked now\n"),
        }
    }
}
