package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/schema/diag"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say which policies apply to a proxy or a request and why, or what a code means",
		ArgsUsage: "[CODE…] | --proxy MESH.NAME [PATH…] | --host HOST [PATH…]",
		Description: `CODE is a finding's code: MC0301, or just 301. Without a CODE it lists them all. The findings shown are not stored but
made: meshc checks the wrong example as it checks your files.

With --proxy it reads PATH (as validate does) and lists what a dataplane gets: its inbounds and outbounds, the policies that
apply to each, where they were written, and which others match and why they are not used.
With --host it follows one request, offline, through the code that routes: listener, route, policies, clusters and endpoints.
It enters at the gateway, or with --from at the outbound of a dataplane whose service or ADDRESS:PORT is HOST. With --node-ports
and IP:PORT as HOST it enters at the listener that a Service opens there; --listener names any other, as a snapshot does.

Exit code: 0, 1 where the request goes nowhere or the input has errors, 2 for what does not exist or cannot be read.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "proxy", Usage: "list what the dataplane `MESH.NAME` gets"},
			&cli.StringFlag{Name: "host", Usage: "follow a request for `HOST`, as in its Host header"},
			&cli.StringFlag{Name: "listener", Usage: "the listener that takes the request: its `NAME` or ADDRESS:PORT", DefaultText: "the one that --host means"},
			&cli.BoolFlag{Name: "https", Usage: "the request comes over TLS"},
			&cli.StringFlag{Name: "sni", Usage: "the server `NAME` that the client asks for in TLS, or '' for none", DefaultText: "that of --host"},
			&cli.StringFlag{Name: "path", Value: "/", Usage: "the `PATH` of the request, with its query"},
			&cli.StringFlag{Name: "method", Value: "GET", Usage: "the `METHOD` of the request"},
			&cli.StringSliceFlag{Name: "header", Usage: "a header of the request, as `NAME: VALUE`; repeatable"},
			&cli.StringFlag{Name: "from", Usage: "the dataplane `MESH.NAME` that the request comes from", DefaultText: "the gateway"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "how to write what applies: text or json"},
			nodePortsFlag(), nodeFlag(), nodeLabelFlag(),
		},
		Action: func(c *cli.Context) error {
			for _, name := range []string{"proxy", "host", "listener"} {
				if c.IsSet(name) && c.String(name) == "" {
					return failed("--%s is empty: it names what to explain", name)
				}
			}
			if c.String("proxy") != "" || c.String("host") != "" || c.String("listener") != "" {
				return explainInput(c)
			}
			for _, name := range []string{"path", "method", "header", "from", "format", "https", "sni", "node-ports", "node", "node-label"} {
				if c.IsSet(name) {
					return failed("--%s is about a request or a proxy: say which with --host or --proxy", name)
				}
			}
			if !c.Args().Present() {
				return listCodes(c.App.Writer)
			}
			var out bytes.Buffer
			for i, arg := range c.Args().Slice() {
				code, near := diag.FindCode(arg)
				switch {
				case near != "":
					return failed("there is no code %q; did you mean %s (%s)?", arg, near, diag.Title(near))
				case code == "":
					return failed("there is no code %q; meshc explain lists them", arg)
				}
				if i > 0 {
					out.WriteByte('\n')
				}
				if err := explain(c.Context, &out, code, colored(c.App.Writer)); err != nil {
					return failed("%v", err)
				}
			}
			_, err := c.App.Writer.Write(out.Bytes())
			return err
		},
	}
}

// families say what the hundreds of the codes stand for.
var families = []string{
	"Reading files", "Syntax", "Recognising documents", "Rules about one document",
	"Between documents", "What this build cannot do", "Silencing",
}

// listCodes writes every code with its title, grouped by hundred.
func listCodes(w io.Writer) error {
	var out bytes.Buffer
	hundred := -1
	for _, code := range diag.Codes() {
		if h := int(code[3] - '0'); h != hundred {
			if hundred >= 0 {
				out.WriteByte('\n')
			}
			hundred = h
			fmt.Fprintf(&out, "%s\n", families[h])
		}
		fmt.Fprintf(&out, "  %s  %s\n", code, diag.Title(code))
	}
	fmt.Fprintf(&out, "\nmeshc explain CODE says more about one.\n")
	_, err := w.Write(out.Bytes())
	return err
}

// explain writes the page of a code.
func explain(ctx context.Context, out *bytes.Buffer, code string, color bool) error {
	page, err := diag.ReadPage(code)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n\n%s", page.Code, page.Title, wrap(page.Prose, 80))
	if len(page.Wrong) > 0 {
		out.WriteString("\nWrong:\n")
		writeFiles(out, page.Wrong)
		found, err := exampleFindings(ctx, page, color)
		if err != nil {
			return fmt.Errorf("checking the example: %w", err)
		}
		out.WriteString("\nmeshc says:\n\n")
		out.WriteString(indent(found))
	}
	if len(page.Right) > 0 {
		out.WriteString("\nRight:\n")
		writeFiles(out, page.Right)
	}
	return nil
}

func writeFiles(out *bytes.Buffer, files []diag.PageFile) {
	for _, f := range files {
		fmt.Fprintf(out, "\n    # %s\n%s", f.Name, indent(string(f.Data)))
	}
}

// exampleFindings returns, as text, what meshc build finds of the page's code
// in its wrong example. The example is put into files, because some codes are
// about files.
func exampleFindings(ctx context.Context, page diag.Page, color bool) (string, error) {
	dir, err := os.MkdirTemp("", "meshc-explain-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for _, f := range page.Wrong {
		if err := writeExample(filepath.Join(dir, filepath.FromSlash(f.Name)), f.Data, 0o644); err != nil {
			return "", err
		}
	}
	l, err := newDocuments([]string{dir}, nil, toServe).load(ctx)
	if err != nil {
		return "", err
	}
	ds := slices.DeleteFunc(l.diags, func(d diag.Diagnostic) bool { return d.Code != page.Code })
	if len(ds) == 0 {
		return "", fmt.Errorf("it does not give %s", page.Code)
	}
	// Where the example lies for the moment is nobody's business.
	prefix := dir + string(filepath.Separator)
	short := func(s string) string { return strings.ReplaceAll(s, prefix, "") }
	for i := range ds {
		d := &ds[i]
		d.File, d.Message, d.Hint = short(d.File), short(d.Message), short(d.Hint)
		for j := range d.Related {
			d.Related[j].File, d.Related[j].Message = short(d.Related[j].File), short(d.Related[j].Message)
		}
	}
	var out bytes.Buffer
	err = diag.Write(&out, diag.Text, ds, diag.Summary{}, diag.Options{
		Color: color, NoSummary: true,
		Source: func(file string) []byte { return l.source(prefix + file) },
	})
	return out.String(), err
}

// writeExample writes a file of exactly this mode, and the directories above it.
func writeExample(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask is
}

// indent puts four blanks in front of each line that is not empty.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// wrap breaks the paragraphs of text at width characters. Lines that are
// indented stay as they are.
func wrap(text string, width int) string {
	var b strings.Builder
	at := 0
	flush := func() {
		if at > 0 {
			b.WriteByte('\n')
			at = 0
		}
	}
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" || line[0] == ' ' {
			flush()
			b.WriteString(line)
			continue
		}
		for _, word := range strings.Fields(line) {
			n := len([]rune(word))
			switch {
			case at == 0:
			case at+1+n > width:
				flush()
			default:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(word)
			at += n
		}
	}
	flush()
	return b.String()
}
