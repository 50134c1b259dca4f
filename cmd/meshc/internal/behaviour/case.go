//go:build linux

package behaviour

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Case is one archive.
type Case struct {
	Name string
	// Nodes are the proxies that run, "gateway" or MESH.NAME.
	Nodes []string

	path     string
	archive  *txtar.Archive
	tree     string   // folder that is the input, or ""
	modules  []string // folders, or documents in them
	flags    []string // of meshc serve
	backends []declaration
	certs    []declaredCertificate
	env      string // of meshc serve, as it is written
	names    string // what the DNS server knows at first
	steps    []step
	only     string // the data plane of the steps that come next, "" for both
}

type declaration struct {
	name, address, kind string
	tls                 tlsOptions
}

// step is one section of the transcript.
type step struct {
	section int // index in the archive, for updates and messages
	verb    string
	args    []string
	text    string
	only    string // the data plane that it is for, "" for both
}

// arguments tells how many words may follow each verb: at least, at most.
var arguments = map[string][2]int{
	"reply": {1, 2}, "down": {1, 1}, "up": {1, 1}, "resolve": {0, 0}, "connect": {1, 6}, "send": {0, 0}, "half-close": {0, 0}, "receive": {1, 2},
	"silent": {1, 1}, "release": {1, 1}, "answer": {0, 1}, "body": {0, 0}, "read": {0, 0},
	"closed": {0, 0}, "repeat": {1, 4}, "counts": {0, 2}, "until": {1, 9}, "peer": {0, 0}, "edit": {1, 1}, "certify": {1, 1}, "diagnostics": {0, 0}, "refused": {1, 1}, "snapshots": {0, 0}, "metric": {1, 1}, "scrape": {1, 1}, "datagram": {2, 2}, "logged": {1, 1},
}

var backendKinds = []string{"http", "http2", "grpc", "tcp", "udp", "lines", "spans"}

// ReadCases reads every archive of a folder, in the order of their names.
func ReadCases(dir string) ([]*Case, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no cases in %s", dir)
	}
	var cases []*Case
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		c, err := ParseCase(path, data)
		if err != nil {
			return nil, err
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// ParseCase reads one archive; path names it in messages.
func ParseCase(path string, data []byte) (*Case, error) {
	c := &Case{
		Name:    strings.TrimSuffix(filepath.Base(path), ".txtar"),
		path:    path,
		archive: txtar.Parse(data),
	}
	for i, f := range c.archive.Files {
		if err := c.section(i, f.Name, string(f.Data)); err != nil {
			return nil, fmt.Errorf("%s: section %q: %w", path, f.Name, err)
		}
	}
	if len(c.Nodes) == 0 {
		c.Nodes = []string{"gateway"}
	}
	for _, d := range c.backends {
		if err := d.tls.check(c.certs); err != nil {
			return nil, fmt.Errorf("%s: backend %s: %w", path, d.name, err)
		}
	}
	if len(c.steps) == 0 {
		return nil, fmt.Errorf("%s: no transcript", path)
	}
	return c, nil
}

func (c *Case) section(i int, name, text string) error {
	if strings.HasPrefix(name, "files/") {
		return nil
	}
	words := strings.Fields(name)
	if len(words) == 0 {
		return fmt.Errorf("no name")
	}
	verb, args := words[0], words[1:]
	switch verb {
	case "tree":
		if len(args) != 1 {
			return fmt.Errorf("want one folder")
		}
		c.tree = args[0]
		return nil
	case "nodes":
		c.Nodes = strings.Fields(text)
		return nil
	case "flags":
		c.flags = strings.Fields(text)
		return nil
	case "modules":
		c.modules = strings.Fields(text)
		return nil
	case "backends":
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			if len(f) < 3 || !slices.Contains(backendKinds, f[2]) {
				return fmt.Errorf("%q is not NAME ADDRESS:PORT %s [OPTION…]", strings.TrimSpace(line), strings.Join(backendKinds, "|"))
			}
			o, err := parseOptions(f[3:], "tls", "clients", "requests")
			if err != nil {
				return err
			}
			c.backends = append(c.backends, declaration{f[0], f[1], f[2], o})
		}
		return nil
	case "certificates":
		for line := range strings.Lines(text) {
			d, err := parseCertificate(line)
			if err != nil {
				return err
			}
			c.certs = append(c.certs, d)
		}
		return nil
	case "environment":
		c.env = text
		return nil
	case "names":
		c.names = text
		_, err := parseNames(text)
		return err
	case "only":
		if len(args) != 1 || !slices.Contains([]string{"proxy", "envoy", "both"}, args[0]) {
			return fmt.Errorf("want only proxy, envoy or both")
		}
		if c.only = args[0]; c.only == "both" {
			c.only = ""
		}
		return nil
	}
	limits, ok := arguments[verb]
	if !ok {
		return fmt.Errorf("no such step")
	}
	if len(args) < limits[0] || len(args) > limits[1] {
		return fmt.Errorf("%d words after %s, want %d to %d", len(args), verb, limits[0], limits[1])
	}
	if err := c.checkArguments(verb, args); err != nil {
		return err
	}
	switch verb {
	case "reply", "send", "read", "repeat":
		if _, err := parseWire(text); err != nil {
			return err
		}
	case "resolve":
		if _, err := parseNames(text); err != nil {
			return err
		}
		if c.names == "" {
			return fmt.Errorf("no names come before")
		}
	}
	c.steps = append(c.steps, step{i, verb, args, text, c.only})
	return nil
}

func (c *Case) checkArguments(verb string, args []string) error {
	switch verb {
	case "reply", "receive", "silent", "release", "down", "up":
		i := slices.IndexFunc(c.backends, func(d declaration) bool { return d.name == args[0] })
		if i < 0 {
			return fmt.Errorf("no backend is called %q", args[0])
		}
		if (verb == "down" || verb == "up") && c.backends[i].kind == "udp" {
			return fmt.Errorf("%q has no connections", args[0])
		}
		if n, err := strconv.Atoi(args[len(args)-1]); verb == "reply" && len(args) == 2 {
			if err != nil || n < 1 {
				return fmt.Errorf("%q is not a number of times", args[1])
			}
		} else if len(args) == 2 && args[1] != "head" {
			return fmt.Errorf("%q where only head may stand", args[1])
		}
	case "answer":
		if len(args) == 1 && args[0] != "head" {
			return fmt.Errorf("%q where only head may stand", args[0])
		}
	case "connect":
		if args[0] != "gateway" {
			if _, _, err := net.SplitHostPort(args[0]); err != nil {
				return err
			}
		}
		if len(args) > 1 && !slices.Equal(args[1:], []string{"http2"}) {
			if args[1] != "tls" {
				return fmt.Errorf("%q where only http2 or tls may stand", args[1])
			}
			o, err := parseOptions(args[2:], clientOptions...)
			if err != nil {
				return err
			}
			return o.check(c.certs)
		}
	case "certify":
		return tlsOptions{"tls": args[0]}.check(c.certs)
	case "scrape":
		if at, path, _ := strings.Cut(args[0], "/"); path == "" {
			return fmt.Errorf("%q is not ADDRESS:PORT/PATH", args[0])
		} else if _, _, err := net.SplitHostPort(at); err != nil {
			return err
		}
	case "counts":
		if len(args) > 0 && !slices.Equal(args, []string{"at", "last"}) {
			return fmt.Errorf("%q where only at last may stand", args)
		}
	case "until":
		_, err := parseUntil(args)
		return err
	case "repeat":
		if n, err := strconv.Atoi(args[0]); err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of times", args[0])
		}
		if len(args) > 1 && !slices.Contains([]string{"fresh", "together", "tcp"}, args[1]) {
			return fmt.Errorf("%q where only fresh, together or tcp may stand", args[1])
		}
		if len(args) > 2 {
			if n, err := strconv.Atoi(args[len(args)-1]); args[1] != "together" || len(args) != 4 || err != nil || n < 1 {
				return fmt.Errorf("want N together NAME M after repeat")
			}
			return c.checkArguments("release", args[2:3])
		}
	}
	return nil
}

// writeTree writes the input files of the case under dir; logs is the folder
// that $LOGS stands for in them.
func (c *Case) writeTree(dir, logs string, certs *certificates) error {
	if c.tree != "" {
		if err := os.CopyFS(dir, os.DirFS(c.tree)); err != nil {
			return err
		}
	}
	for _, f := range c.archive.Files {
		name, ok := strings.CutPrefix(f.Name, "files/")
		if !ok {
			continue
		}
		if err := writeInput(dir, name, string(f.Data), logs, certs); err != nil {
			return err
		}
	}
	for _, path := range c.modules {
		if err := writeModule(dir, path); err != nil {
			return err
		}
	}
	return nil
}

// writeInput writes one file of an input tree, with what stands for folders and
// certificates replaced.
func writeInput(dir, name, text, logs string, certs *certificates) error {
	text, err := certs.expand(strings.ReplaceAll(text, "$LOGS", logs))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return replaceFile(path, []byte(text))
}

// update replaces the text of a step's section in the archive.
func (c *Case) update(s step, text string) { c.archive.Files[s.section].Data = []byte(text) }

// save writes the archive back to its file.
func (c *Case) save() error { return os.WriteFile(c.path, txtar.Format(c.archive), 0o644) }

// operation is a piece of what goes on the wire: bytes, or a directive.
type operation struct {
	data      []byte
	line      bool   // a line, with its CRLF
	directive string // without the @ and what follows it, which is in data
}

// parseWire reads the lines of a section that goes on the wire.
func parseWire(text string) ([]operation, error) {
	var ops []operation
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, `"`):
			s, err := strconv.Unquote(line)
			if err != nil {
				return nil, fmt.Errorf("%s: not a Go string literal", line)
			}
			ops = append(ops, operation{data: []byte(s)})
		case strings.HasPrefix(line, "@bytes "):
			n, err := strconv.Atoi(line[len("@bytes "):])
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%s: not a number of bytes", line)
			}
			ops = append(ops, operation{data: pattern(n)})
		case strings.HasPrefix(line, "@"):
			d, rest, _ := strings.Cut(line[1:], " ")
			op := operation{directive: d, data: []byte(rest)}
			switch d {
			case "message":
				s, err := strconv.Unquote(rest)
				if err != nil {
					return nil, fmt.Errorf("%s: not a Go string literal", line)
				}
				op.data = grpcMessage(s)
			case "trailer", "reset":
			case "await":
				if n, err := strconv.Atoi(rest); err != nil || n < 1 {
					return nil, fmt.Errorf("%s: not a number of requests", line)
				}
			case "before-body", "gate", "echo", "close", "open", "goaway":
				if rest == "" {
					break
				}
				fallthrough
			default:
				return nil, fmt.Errorf("%s: no such directive", line)
			}
			ops = append(ops, op)
		default:
			ops = append(ops, operation{data: []byte(line + "\r\n"), line: true})
		}
	}
	return ops, nil
}

// wireBytes is what a section sends, for sections without directives.
func wireBytes(text string) ([]byte, error) {
	ops, err := parseWire(text)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, op := range ops {
		if op.directive != "" && op.directive != "message" {
			return nil, fmt.Errorf("@%s can stand only in a reply, or in HTTP/2", op.directive)
		}
		b = append(b, op.data...)
	}
	return b, nil
}
