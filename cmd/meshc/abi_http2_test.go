//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// abiFrames are the pieces of a request as a client of HTTP/2 sends them, on
// stream 1. The first is a request line with header lines after it; those
// after it are pieces of the body or, "trailers NAME: VALUE", trailers. The last one
// ends the stream, but for "open", which is left out.
func abiFrames(send []string) []string {
	var fields bytes.Buffer
	encoder := hpack.NewEncoder(&fields)
	block := func(lines ...string) []byte {
		fields.Reset()
		for _, l := range lines {
			name, value, _ := strings.Cut(l[1:], ": ") // a name may begin with a colon
			encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(l[:1] + name), Value: value})
		}
		return fields.Bytes()
	}
	open := send[len(send)-1] == "open"
	if open {
		send = send[:len(send)-1]
	}
	var frames []string
	for i, piece := range send {
		var b bytes.Buffer
		f := http2.NewFramer(&b, nil)
		last := i == len(send)-1 && !open
		trailers, ends := strings.CutPrefix(piece, "trailers ")
		switch {
		case i == 0:
			b.WriteString(http2.ClientPreface)
			f.WriteSettings()
			lines := strings.Split(strings.TrimRight(piece, "\r\n"), "\r\n")
			line := strings.Split(lines[0], " ")
			lines = append([]string{":method: " + line[0], ":scheme: http", ":authority: abi.test", ":path: " + line[1]}, lines[1:]...)
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Host: ") })
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(lines...), EndHeaders: true, EndStream: last})
		case ends:
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(trailers), EndHeaders: true, EndStream: true})
		default:
			f.WriteData(1, last, []byte(piece))
		}
		frames = append(frames, b.String())
	}
	return frames
}

// abiStream reads what comes on stream 1 until its end, as lines.
func abiStream(c net.Conn) (lines []string) {
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var body []byte
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return append(lines, abiEnd(err))
		}
		ended := frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) // of HEADERS, too
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			var h []string
			for _, field := range frame.Fields {
				h = append(h, abiNormal(field.Name+": "+field.Value))
			}
			slices.Sort(h)
			lines = append(lines, h...)
		case *http2.DataFrame:
			body = append(body, frame.Data()...)
			if !ended {
				continue
			}
		case *http2.RSTStreamFrame:
			return append(append(lines, abiBody(body)...), fmt.Sprintf("reset %v", frame.ErrCode))
		default:
			continue
		}
		if ended {
			return append(lines, abiBody(body)...)
		}
	}
}

// abiBody shows a body line by line.
func abiBody(b []byte) (lines []string) {
	for l := range strings.Lines(string(b)) {
		lines = append(lines, abiNormal(fmt.Sprintf("body %q", l)))
	}
	return lines
}
