package files

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/diag"
)

// content is what one file held at one moment. It is never changed.
type content struct {
	stamp   stamp
	settled bool
	data    []byte
	sum     [sha256.Size]byte
	problem problem
	emptied bool // by the change that made this state
}

// problem is a finding that does not know yet by which name the user calls
// the file. The zero problem is none.
type problem struct {
	code, message, hint string
	line, column        int
}

func (p problem) at(shown string) diag.Diagnostic {
	return diag.Diagnostic{
		Code: p.code, Severity: diag.Error, Message: p.message, Hint: p.hint,
		Place: diag.Place{File: shown, Line: p.line, Column: p.column},
	}
}

// same reports whether two contents, read at different moments, are one state
// of one file.
func (c *content) same(d *content) bool {
	return c == d || c.stamp == d.stamp && c.sum == d.sum && c.problem == d.problem
}

// load returns what the file at the real path holds. It opens the file only if
// old, which may be nil, may be out of date.
func load(path string, old *content) *content {
	at := time.Now()
	info, err := os.Stat(path)
	if err != nil {
		return &content{problem: unreadable(err)}
	}
	now := stampOf(info)
	if old != nil && old.settled && old.stamp == now {
		return old
	}
	c := &content{stamp: now, settled: now.settled(at)}
	switch {
	case !info.Mode().IsRegular():
		c.problem = notRegular(info.Mode())
	case info.Size() > MaxSize:
		c.problem = tooLarge()
	default:
		c.readFile(path)
	}
	if old != nil && old.sum == c.sum {
		c.data = old.data
	}
	if old != nil && len(c.data) == 0 && c.problem.code == "" {
		c.emptied = len(old.data) > 0 || old.emptied && old.stamp == c.stamp
	}
	return c
}

// readFile fills in what can only be known by reading. The file was regular a
// moment ago; it may be anything by now, so opening it must not block.
func (c *content) readFile(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		c.problem = unreadable(err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		c.problem = unreadable(err)
	case !info.Mode().IsRegular():
		c.problem = notRegular(info.Mode())
	default:
		c.readFrom(f, info.Size())
	}
}

// readFrom fills in data, sum and problem. size is a guess.
func (c *content) readFrom(r io.Reader, size int64) {
	var buf bytes.Buffer
	buf.Grow(int(min(size, MaxSize)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(r, MaxSize+1)); err != nil {
		c.problem = unreadable(err)
		return
	}
	if buf.Len() > MaxSize {
		c.problem = tooLarge()
		return
	}
	c.data, c.problem = checkText(buf.Bytes())
	// The sum counts even where the text is refused: it tells one bad state
	// from the next.
	c.sum = sha256.Sum256(c.data)
	if c.problem.code != "" {
		c.data = nil
	}
}

// checkText returns data without its UTF-8 byte order mark, and what stands
// against its being UTF-8 text.
func checkText(data []byte) ([]byte, problem) {
	const hint = "save the file as UTF-8"
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\x00\x00\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return data, problem{diag.CodeNotUTF8, "is UTF-16 or UTF-32, by its byte order mark, and not UTF-8", hint, 1, 1}
		}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 {
		return data, problem{}
	}
	for offset := 0; ; {
		r, size := utf8.DecodeRune(data[offset:])
		if r != 0 && (r != utf8.RuneError || size > 1) {
			offset += size
			continue
		}
		before := data[:offset]
		p := problem{diag.CodeNotUTF8, fmt.Sprintf("is not UTF-8: byte 0x%02x at offset %d", data[offset], offset), hint, 0, 0}
		if r == 0 {
			p.message = fmt.Sprintf("is not text: a NUL byte at offset %d", offset)
		}
		p.line = 1 + bytes.Count(before, []byte("\n"))
		p.column = 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
		return data, p
	}
}

func tooLarge() problem {
	return problem{code: diag.CodeTooLarge, message: fmt.Sprintf("is larger than the %d MiB that meshc reads", MaxSize>>20),
		hint: "split it into several files"}
}

func notRegular(mode fs.FileMode) problem {
	what := "a device"
	switch {
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return problem{code: diag.CodeNotRegular, message: "is " + what + ", not a file",
		hint: `name a file; what comes from a pipe is read from standard input, with "-"`}
}

// unreadable words an error of the operating system without the path, which
// the finding names as the user does.
func unreadable(err error) problem {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	p := problem{code: diag.CodeUnreadable, message: "cannot be read: " + err.Error()}
	if errors.Is(err, fs.ErrPermission) {
		p.hint = "give the user who runs meshc the permission to read it"
	}
	return p
}
