//go:build linux

package behaviour

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// condition is what an "until" step waits for: [fresh] FIELD VALUE of an answer,
// or one word for what only a connection of its own can show.
type condition struct {
	fresh        bool
	field, value string
	least        int // of a field that counts; 0 is for value
}

func parseUntil(args []string) (condition, error) {
	if len(args) == 1 {
		switch args[0] {
		case "closed", "peer", "line":
			return condition{fresh: true, field: args[0]}, nil
		}
	}
	c := condition{fresh: args[0] == "fresh"}
	if c.fresh {
		args = args[1:]
	}
	if len(args) < 2 {
		return c, errors.New("want [fresh] FIELD VALUE, closed, peer or line")
	}
	c.field, c.value = args[0], strings.Join(args[1:], " ")
	if least, ok := strings.CutPrefix(c.value, ">="); ok {
		n, err := strconv.Atoi(least)
		if err != nil || n < 1 {
			return c, fmt.Errorf("%q is not a number from 1 on", least)
		}
		c.least = n
	}
	return c, nil
}

// met reports whether value is what c waits for.
func (c condition) met(value string) bool {
	if c.least == 0 {
		return value == c.value
	}
	n, err := strconv.Atoi(value)
	return err == nil && n >= c.least
}

// until does the same again and again until it shows what is wanted.
func (t *transcript) until(s step) error {
	c, err := parseUntil(s.args)
	if err != nil {
		return err
	}
	if t.opened == nil {
		t.opened = []string{"gateway"}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if t.conn == nil || c.fresh {
			err = t.connect(t.opened...)
		}
		got, ok := "", false
		if err == nil {
			got, ok, err = t.shows(c, s.text)
		}
		if err != nil && !c.fresh {
			return err
		} else if err != nil { // the next connection may be another matter
			got, ok, err = err.Error(), false, nil
		}
		t.forget()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not come; at last:\n%s", got)
		}
	}
}

// shows tries a condition on the connection that is open, and says what was
// there.
func (t *transcript) shows(c condition, text string) (got string, ok bool, err error) {
	switch c.field {
	case "peer":
		got, err = peer(t.conn)
		return got, got == strings.TrimSpace(text), err
	case "line":
		t.conn.SetReadDeadline(time.Now().Add(patience))
		got, err = t.r.ReadString('\n')
		if err != nil && !ended(err) {
			return got, false, err
		}
		return got, strings.TrimSpace(got) == strings.TrimSpace(text), nil
	}
	if c.field == "closed" {
		data, err := wireBytes(text)
		if err != nil {
			return "", false, err
		}
		t.conn.SetDeadline(time.Now().Add(patience))
		if _, err := t.conn.Write(data); err != nil {
			return "", ended(err), nil
		}
		first, err := t.r.ReadByte()
		if err != nil && !ended(err) && !errors.Is(err, io.EOF) {
			return "", false, err
		}
		return fmt.Sprintf("%q came", first), err != nil, nil
	}
	m, err := t.exchange(text)
	if err != nil {
		return "", false, err
	}
	got = m.get(c.field)
	if c.field == ":status" {
		got = strconv.Itoa(m.status())
	}
	return m.String(), c.met(got), nil
}
