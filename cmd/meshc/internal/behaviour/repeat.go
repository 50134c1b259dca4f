//go:build linux

package behaviour

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func (t *transcript) repeat(s step) error {
	times, _ := strconv.Atoi(s.args[0])
	how := ""
	if len(s.args) > 1 {
		how = s.args[1]
	}
	if t.opened == nil {
		t.opened = []string{"gateway"}
	}
	t.counts, t.lot = map[string]int{}, s
	defer t.forget()
	answered := t.releasing(s.args)
	if t.h2 != nil {
		ops, err := parseWire(s.text)
		if err != nil {
			return err
		}
		return t.repeatHTTP2(times, how, ops, answered)
	}
	data, err := wireBytes(s.text)
	if err != nil {
		return err
	}
	if how == "together" {
		if err := t.together(times, t.target(t.opened[0]), data, answered); err != nil {
			return err
		}
	} else {
		for i := range times {
			if t.conn == nil || how != "" {
				if err := t.connect(t.opened...); err != nil {
					return err
				}
			}
			who, err := once(t.conn, t.r, data, how == "tcp")
			if err != nil {
				return fmt.Errorf("time %d: %w", i+1, err)
			}
			t.counts[who]++
		}
	}
	return nil
}

// releasing returns what is to be called after each answer to a repeat: where its
// words end in NAME M, that backend may pass its gate once for each from the Mth on.
func (t *transcript) releasing(args []string) func() {
	if len(args) < 4 {
		return func() {}
	}
	var n atomic.Int64
	last, _ := strconv.ParseInt(args[3], 10, 64)
	return func() {
		if n.Add(1) >= last {
			t.backends[args[2]].gate <- struct{}{}
		}
	}
}

// together sends a request on so many connections at once, and calls answered
// after each answer. A connection that ends without one counts as "closed".
func (t *transcript) together(times int, target string, data []byte, answered func()) error {
	conns := make([]net.Conn, times)
	for i := range conns {
		c, err := t.network.dial(target)
		if err != nil {
			return err
		}
		defer c.Close()
		conns[i] = c
	}
	served, errs := make([]string, times), make([]error, times)
	var done sync.WaitGroup
	for i, c := range conns {
		done.Go(func() {
			served[i], errs[i] = once(c, bufio.NewReader(c), data, false)
			if errs[i] != nil && ended(errs[i]) {
				served[i], errs[i] = "closed", nil
			}
			answered()
		})
	}
	done.Wait()
	for _, who := range served {
		t.counts[who]++
	}
	return errors.Join(errs...)
}

// once sends one request and says which backend served it, or else with which
// status it was answered.
func once(c net.Conn, r *bufio.Reader, data []byte, tcp bool) (string, error) {
	if tcp {
		c.SetDeadline(time.Now().Add(patience))
		_, err := c.Write(data)
		who := ""
		if err == nil {
			who, err = r.ReadString('\n')
		}
		if err != nil && ended(err) {
			return "closed", nil
		}
		return strings.TrimSuffix(who, "\n"), err
	}
	m, err := exchange(c, r, data)
	if err != nil {
		return "", err
	}
	return m.who(), nil
}

// exchange sends a request and reads its answer.
func exchange(c net.Conn, r *bufio.Reader, data []byte) (*Message, error) {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(data); err != nil {
		return nil, err
	}
	m, err := readHead(r)
	if err != nil {
		return nil, err
	}
	return m, m.readBody(r, true, "")
}
