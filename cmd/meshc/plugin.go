package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/cmd/meshc/internal/offline"
	"github.com/meshc/meshc/cmd/meshc/internal/scaffold"
	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm"
)

func pluginCommand() *cli.Command {
	return &cli.Command{
		Name:  "plugin",
		Usage: "write, look into, run and test Proxy-Wasm filters, without a server",
		Subcommands: []*cli.Command{
			pluginNewCommand(), pluginInspectCommand(), pluginRunCommand(), pluginTestCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return failed("no command plugin %q; meshc plugin --help lists them", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func pluginNewCommand() *cli.Command {
	return &cli.Command{
		Name:      "new",
		Usage:     "write a small filter that builds with stock tools",
		ArgsUsage: "NAME",
		Description: `Makes the folder NAME with a filter, a WasmPlugin document that attaches it, a test case, and a README that says how to
build it. Exit code: 0 written, 2 the folder is there already, or cannot be written.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "lang", Value: "go", Usage: strings.Join(scaffold.Languages, ", ")},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return failed("plugin new takes one NAME, not %d", c.NArg())
			}
			dir := c.Args().First()
			files, err := scaffold.New(dir, c.String("lang"), filepath.Base(dir))
			if err != nil {
				return failed("%v", err)
			}
			for _, f := range files {
				fmt.Fprintln(c.App.Writer, filepath.Join(dir, f))
			}
			_, err = fmt.Fprintf(c.App.Writer, "\nHow to build it and see it work: %s\n", filepath.Join(dir, "README.md"))
			return err
		},
	}
}

func pluginInspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "tell what a module is, and what it would be refused for",
		ArgsUsage: "FILE.wasm…",
		Description: `Shows the ABI version, imports, exports, memory and size of each module, and everything for which no proxy would run it.
Nothing of it is run. Exit code: 0, 1 a module would be refused, 2 a file could not be read.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return failed("plugin inspect takes the path of a .wasm file")
			}
			format := c.String("format")
			if format != "text" && format != "json" {
				return failed("--format %s: must be text or json", format)
			}
			refused := false
			for i, path := range c.Args().Slice() {
				data, err := readModule(path)
				if err != nil {
					return failed("%v", err)
				}
				report := wasm.Inspect(data)
				refused = refused || len(report.Problems) > 0
				if i > 0 && format == "text" {
					fmt.Fprintln(c.App.Writer)
				}
				if err := writeInspection(c.App.Writer, format, path, report); err != nil {
					return failed("%v", err)
				}
			}
			if refused {
				return errFindings
			}
			return nil
		},
	}
}

func pluginRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "drive a module through one request and show what comes of it",
		ArgsUsage: "FILE.wasm|FOLDER REQUEST.http [RESPONSE.http]",
		Description: `REQUEST.http is an HTTP/1.1 request as text: request line, headers, an empty line, the body; - reads it from standard
input. RESPONSE.http is what the upstream answers; without it, 200 with no body. With a FOLDER in place of the module, the
WasmPlugin document in it says which module, and with which configuration. Shown are the calls that the filter made, what
the upstream and the client got, what was logged and measured. Exit code: 0 the filter worked, whatever it answered; 1 it
failed: it could not start, refused its configuration, trapped, or held the request for more than ` + offline.Patience.String() + `; 2 it could not be run.`,
		Flags: append(moduleFlags(),
			&cli.BoolFlag{Name: "tcp", Usage: "the module is a TCP filter: REQUEST is what the client sends, RESPONSE what the upstream sends, as bytes"},
			&cli.StringSliceFlag{Name: "service", Usage: "NAME=RESPONSE.http: a service that the filter may call, and what it answers; repeatable, an answer a call; without =RESPONSE.http the service does not answer"},
		),
		Action: func(c *cli.Context) error {
			if n := c.NArg(); n != 2 && n != 3 {
				return failed("plugin run takes a module, a request and perhaps a response, not %d arguments", n)
			}
			use, err := pluginUse(c, c.Args().First())
			if err != nil {
				return err
			}
			return runOffline(c, use, c.Args().Get(1), c.Args().Get(2))
		},
	}
}

func pluginTestCommand() *cli.Command {
	return &cli.Command{
		Name:      "test",
		Usage:     "run the test cases of a filter",
		ArgsUsage: "[FOLDER…]",
		Description: `A case is a .txtar file in FOLDER, or in FOLDER/test: a request, and what is expected to come of it. The module and its
configuration come from the WasmPlugin document in FOLDER, or from --module. The sections of a case: config, call SERVICE (the
answer to the filter's next call), request, answer (the upstream's); and what is expected: upstream, response, called SERVICE,
log, metrics. A project that meshc plugin new makes has them explained in test/README.md.
Exit code: 0 all passed, 1 some failed, 2 they could not be run.`,
		Flags: append(moduleFlags(),
			&cli.StringFlag{Name: "module", Usage: "the module to test, in place of the document's"},
			&cli.BoolFlag{Name: "update", Usage: "write what came into the expectations, in place of comparing"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "name the cases that pass, too"},
		),
		Action: func(c *cli.Context) error {
			folders := c.Args().Slice()
			if len(folders) == 0 {
				folders = []string{"."}
			}
			passed, bad := 0, 0
			for _, dir := range folders {
				p, b, err := testFolder(c, dir)
				if err != nil {
					return err
				}
				passed, bad = passed+p, bad+b
			}
			fmt.Fprintf(c.App.Writer, "%d passed, %d failed\n", passed, bad)
			if bad > 0 {
				return errFindings
			}
			return nil
		},
	}
}

func testFolder(c *cli.Context, dir string) (passed, bad int, err error) {
	paths, err := casesIn(dir)
	if err != nil {
		return 0, 0, failed("%v", err)
	}
	module := dir
	if m := c.String("module"); m != "" {
		module = m
	}
	use, err := pluginUse(c, module)
	if err != nil {
		return 0, 0, err
	}
	for _, path := range paths {
		cs, err := offline.ReadCase(path)
		if err != nil {
			return passed, bad, failed("%v", err)
		}
		failures, err := cs.Run(c.Context, wasm.Kind, use, withConfiguration, c.Bool("update"))
		if err != nil {
			failures = []string{err.Error()}
		}
		for _, f := range failures {
			fmt.Fprintln(c.App.Writer, "FAIL "+f)
		}
		switch {
		case len(failures) > 0:
			bad++
		default:
			passed++
			if c.Bool("verbose") {
				fmt.Fprintln(c.App.Writer, "ok   "+path)
			}
		}
	}
	return passed, bad, nil
}

// casesIn returns the .txtar files of a folder, or of its folder test.
func casesIn(dir string) ([]string, error) {
	for _, d := range []string{dir, filepath.Join(dir, "test")} {
		paths, err := filepath.Glob(filepath.Join(d, "*.txtar"))
		if err != nil {
			return nil, err
		}
		if len(paths) > 0 {
			return paths, nil
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w in it or in its folder test", dir, offline.ErrNoCases)
}

func readMessage(c *cli.Context, path string, parse func([]byte) (*offline.Message, error)) (*offline.Message, error) {
	data, err := readInput(c, path)
	if err != nil {
		return nil, failed("%v", err)
	}
	m, err := parse(data)
	if err != nil {
		return nil, failed("%s: %v", path, err)
	}
	return m, nil
}

// addServices gives the session the answers of --service, and use the services.
func addServices(c *cli.Context, use *plugins.Use) (answer func(*offline.Session), err error) {
	type reply struct {
		service string
		message *offline.Message
	}
	var replies []reply
	for _, arg := range c.StringSlice("service") {
		name, path, answers := strings.Cut(arg, "=")
		if name == "" {
			return nil, failed("--service %s: must be NAME or NAME=RESPONSE.http", arg)
		}
		if !slices.Contains(use.Clusters, name) {
			use.Clusters = append(slices.Clip(use.Clusters), name)
		}
		if !answers {
			continue
		}
		m, err := readMessage(c, path, offline.ParseResponse)
		if err != nil {
			return nil, err
		}
		replies = append(replies, reply{name, m})
	}
	return func(s *offline.Session) {
		for _, r := range replies {
			s.Answer(r.service, r.message)
		}
	}, nil
}

// runOffline drives use through one request, or one connection.
func runOffline(c *cli.Context, use plugins.Use, request, answer string) error {
	answers, err := addServices(c, &use)
	if err != nil {
		return err
	}
	serve := serveRequest
	if use.TCP {
		serve = serveConnection
	}
	run, err := serve(c, request, answer)
	if err != nil {
		return err
	}
	s, err := offline.Open(c.Context, wasm.Kind, use)
	if err != nil {
		return &exitError{exitFindings, err.Error()}
	}
	defer s.Close()
	answers(s)
	faults, held := run(s)
	metrics, err := s.Metrics()
	if err != nil {
		return failed("%v", err)
	}
	if err := writeObserved(c.App.Writer, s.Log(), metrics); err != nil {
		return failed("%v", err)
	}
	switch {
	case len(faults) > 0:
		return &exitError{exitFindings, "the filter failed (" + faults[0].Reason + "): " + faults[0].Detail}
	case held:
		return &exitError{exitFindings, "the filter held the stream and nothing let it go in " + offline.Patience.String()}
	}
	return nil
}

// offlineRun carries a request or connection out and writes what came of it.
type offlineRun func(*offline.Session) (faults []plugins.Fault, held bool)

func serveRequest(c *cli.Context, request, answer string) (offlineRun, error) {
	req, err := readMessage(c, request, offline.ParseRequest)
	if err != nil {
		return nil, err
	}
	res := offline.OK()
	if answer != "" {
		if res, err = readMessage(c, answer, offline.ParseResponse); err != nil {
			return nil, err
		}
	}
	return func(s *offline.Session) ([]plugins.Fault, bool) {
		o := s.Do(c.Context, req, res)
		writeOutcome(c.App.Writer, o)
		return o.Faults, o.Held
	}, nil
}

func serveConnection(c *cli.Context, request, answer string) (offlineRun, error) {
	downstream, err := readInput(c, request)
	if err != nil {
		return nil, failed("%v", err)
	}
	var upstream []byte
	if answer != "" {
		if upstream, err = readInput(c, answer); err != nil {
			return nil, failed("%v", err)
		}
	}
	return func(s *offline.Session) ([]plugins.Fault, bool) {
		p := s.Connect(c.Context, downstream, upstream)
		writePassed(c.App.Writer, p)
		return p.Faults, p.Held
	}, nil
}

// readInput reads a file, or standard input where path is "-".
func readInput(c *cli.Context, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(c.App.Reader)
	}
	return os.ReadFile(path)
}
