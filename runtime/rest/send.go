package rest

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const typeJSON = "application/json"

// send writes a whole answer. For HEAD, net/http keeps the body back.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone away needs no answer
}

func sendText(w http.ResponseWriter, status int, text string) {
	send(w, status, "text/plain; charset=utf-8", []byte(text))
}

// marshal returns v as compact JSON with a line end. v is made of what JSON can hold.
func marshal(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // net/http logs it; only a type of ours that JSON cannot hold gets here
	}
	return []byte(b.String())
}

// accepts reports whether the client takes one of the media types for which
// ok is true. A client that says nothing takes everything.
func accepts(r *http.Request, ok func(mediaType string, params map[string]string) bool) bool {
	wanted := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(wanted) == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(wanted, ","), func(part string) bool {
		mediaType, params, err := mime.ParseMediaType(part)
		if err != nil {
			return false
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q <= 0 {
			return false
		}
		return mediaType == "*/*" || ok(mediaType, params)
	})
}
