package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/meshc/meshc/schema/diag"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "check documents and print every finding",
		ArgsUsage: "[PATH…]",
		Description: `PATH is a file, a directory (read recursively) or - for standard input; none means the current directory.
Exit code: 0 clean, 1 findings, 2 the check could not be run.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "how to print findings: text, json, sarif or github"},
			&cli.BoolFlag{Name: "strict", Usage: "warnings fail too"},
			&cli.BoolFlag{Name: "partial", Usage: "the rest of the input lies elsewhere: do not report references that lead out of it"},
			cacheFlag(),
		},
		Action: func(c *cli.Context) error {
			format, err := diag.ParseFormat(c.String("format"))
			if err != nil {
				return failed("%v", err)
			}
			in := newDocuments(c.Args().Slice(), c.App.Reader, toValidate)
			defer in.useCache(c.String("cache"), c.App.ErrWriter)()
			l, err := in.load(c.Context)
			if err != nil {
				return failed("%v", err)
			}
			if c.Bool("partial") {
				l.dropReferencesOut()
			}
			o := diag.Options{Color: colored(c.App.Writer), Source: l.source}
			if err := diag.Write(c.App.Writer, format, l.diags, l.summary, o); err != nil {
				return failed("writing findings: %v", err)
			}
			if l.vanished {
				return &exitError{code: exitFailed} // a finding has said what is not there
			}
			if l.summary.Errors > 0 || c.Bool("strict") && l.summary.Warnings > 0 {
				return errFindings
			}
			return nil
		},
	}
}

// colored reports whether w is a terminal whose user wants colour (no-color.org).
func colored(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
