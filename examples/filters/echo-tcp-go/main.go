// Echo-tcp changes the lines of a TCP connection: what the client sends goes to
// the service in capitals, line by line, and a line "quit" closes the
// connection.
package main

import (
	"bytes"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

func init() {
	sdk.Register(func(p *sdk.Plugin) error {
		connections := p.Counter("echo_connections")
		p.TCP(func(c sdk.Conn) sdk.TCPFilter {
			connections.Add(1)
			return &filter{conn: c}
		})
		return nil
	})
}

type filter struct {
	sdk.PassThrough
	conn sdk.Conn
}

// Downstream lets whole lines pass. Pause keeps an unfinished one, and the next
// call sees it again with what follows.
func (f *filter) Downstream(data sdk.Body, end bool) sdk.Action {
	text := data.Bytes()
	if len(text) == 0 || !end && text[len(text)-1] != '\n' {
		if end {
			return sdk.Continue
		}
		return sdk.Pause
	}
	for line := range bytes.Lines(text) {
		if string(bytes.TrimSpace(line)) == "quit" {
			if err := f.conn.Close(); err != nil {
				sdk.Log(sdk.Error, "close: ", err.Error())
			}
			return sdk.Pause
		}
	}
	if err := data.Replace(bytes.ToUpper(text)); err != nil {
		sdk.Log(sdk.Error, "replace: ", err.Error())
	}
	return sdk.Continue
}

// Upstream marks what the service answers.
func (f *filter) Upstream(data sdk.Body, end bool) sdk.Action {
	if data.Len() > 0 {
		if err := data.Prepend([]byte("> ")); err != nil {
			sdk.Log(sdk.Error, "prepend: ", err.Error())
		}
	}
	return sdk.Continue
}

func main() {}
