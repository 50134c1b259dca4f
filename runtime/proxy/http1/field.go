package http1

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"github.com/meshc/meshc/runtime/filter"
)

// appendFields appends the fields of h that live longer than a connection,
// without content-length, which it returns (-1: there is none). Names and
// values are checked, for filters write them.
func appendFields(b []byte, h *filter.Headers, request bool) ([]byte, int64, error) {
	length := int64(-1)
	for i := range h.Len() {
		f := h.At(i)
		switch f.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			continue
		case "host":
			if request {
				continue
			}
		case "content-length":
			if length >= 0 {
				return nil, 0, errors.New("http1: more than one content-length")
			}
			if length = decimal(f.Value); length < 0 {
				return nil, 0, errors.New("http1: malformed content-length")
			}
			continue
		}
		if f.Name != "" && f.Name[0] == ':' {
			continue
		}
		var err error
		if b, err = appendField(b, f); err != nil {
			return nil, 0, err
		}
	}
	return b, length, nil
}

// appendField appends one line. The error names the field, never its value.
func appendField(b []byte, f filter.Field) ([]byte, error) {
	if !validName(f.Name) {
		return nil, fmt.Errorf("http1: header name %.64q cannot be sent", f.Name)
	}
	if !validValue(bytesOf(f.Value)) {
		return nil, fmt.Errorf("http1: the value of header %.64q has a control character", f.Name)
	}
	b = append(append(b, f.Name...), ": "...)
	return append(append(b, f.Value...), "\r\n"...), nil
}

func appendLength(b []byte, length int64) []byte {
	return append(strconv.AppendInt(append(b, "content-length: "...), length, 10), "\r\n"...)
}

// appendConnection appends the fields that concern this connection only.
func appendConnection(b []byte, closing, persist bool, upgrade string) []byte {
	if upgrade != "" {
		b = append(append(append(b, "upgrade: "...), upgrade...), "\r\n"...)
	}
	switch {
	case upgrade != "" && closing:
		return append(b, "connection: upgrade, close\r\n"...)
	case upgrade != "":
		return append(b, "connection: upgrade\r\n"...)
	case closing:
		return append(b, "connection: close\r\n"...)
	case persist:
		return append(b, "connection: keep-alive\r\n"...)
	}
	return b
}

// validUpgrade reports whether s can stand in an Upgrade field.
func validUpgrade(s string) bool { return s != "" && validValue(bytesOf(s)) }

// statusOf returns :status as a number.
func statusOf(h *filter.Headers) (int, error) {
	s := h.Value(":status")
	n := decimal(s)
	if len(s) != 3 || n < 100 {
		return 0, errors.New("http1: :status is not a number of three digits")
	}
	return int(n), nil
}

// appendStatus appends a status line.
func appendStatus(b []byte, h *filter.Headers, status int) []byte {
	b = append(append(b, "HTTP/1.1 "...), h.Value(":status")...)
	return append(append(append(b, ' '), reasons[status]...), "\r\n"...)
}

// bytesOf returns the bytes of s, not to be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
