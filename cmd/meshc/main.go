// Command meshc checks, compiles and serves declarative service and mesh
// configuration. This package wires the stages together, one file a
// subcommand; it is the only one that knows every concrete package.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes; they are part of the command's interface.
const (
	exitOK       = 0
	exitFindings = 1 // the input is wrong
	exitFailed   = 2 // the command could not do its work
)

// exitError ends the command with a code of its own. An empty message prints
// nothing: everything has been said.
type exitError struct {
	code    int
	message string
}

func (e *exitError) Error() string { return e.message }

func failed(format string, args ...any) error {
	return &exitError{exitFailed, fmt.Sprintf(format, args...)}
}

// errFindings ends a command whose findings have been printed.
var errFindings = &exitError{code: exitFindings}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Once asked to stop, a second signal has its usual effect: to end at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is main with everything it touches handed in. ctx ends when the command
// is asked to stop.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:      "meshc",
		Usage:     "check, compile and serve service and mesh configuration",
		Version:   version(),
		Reader:    stdin,
		Writer:    stdout,
		ErrWriter: stderr,
		Commands:  []*cli.Command{validateCommand(), buildCommand(), serveCommand(), bootstrapCommand(), explainCommand(), schemaCommand(), pluginCommand()},
		// The default handler would exit the process from inside a library.
		ExitErrHandler:         func(*cli.Context, error) {},
		OnUsageError:           func(_ *cli.Context, err error, _ bool) error { return failed("%v", err) },
		HideHelpCommand:        true,
		UseShortOptionHandling: false,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return failed("no command %q; meshc --help lists them", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		for _, c := range append(c.Subcommands, c) {
			c.OnUsageError = app.OnUsageError
			c.HideHelpCommand = true
		}
	}
	err := app.RunContext(ctx, flagsFirst(app, args))
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if exit := (*exitError)(nil); errors.As(err, &exit) {
		code = exit.code
	}
	if err.Error() != "" {
		fmt.Fprintf(stderr, "meshc: %v\n", err)
	}
	return code
}

// flagsFirst moves a command's flags in front of its paths, for the library
// stops looking for flags at the first argument that is none, and users write
// meshc serve DIR --rest-addr …. After "--" everything is a path.
func flagsFirst(app *cli.App, args []string) []string {
	var command *cli.Command
	words := 1 // of the command's name, the program's own before it
	for list := app.Commands; words < len(args); words++ {
		i := slices.IndexFunc(list, func(c *cli.Command) bool { return c.HasName(args[words]) })
		if i < 0 {
			break
		}
		command, list = list[i], list[i].Subcommands
	}
	if command == nil {
		return args
	}
	takesValue := map[string]bool{}
	for _, f := range command.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue["-"+name], takesValue["--"+name] = !isBool, !isBool
		}
	}
	flags, paths := []string{}, []string{}
	for rest := args[words:]; len(rest) > 0; rest = rest[1:] {
		arg := rest[0]
		switch {
		case arg == "--":
			paths = append(paths, rest[1:]...)
			rest = rest[:1]
		case arg == "-" || arg == "" || arg[0] != '-':
			paths = append(paths, arg)
		default:
			flags = append(flags, arg)
			if takesValue[arg] && len(rest) > 1 {
				rest = rest[1:]
				flags = append(flags, rest[0])
			}
		}
	}
	out := append(append([]string{}, args[:words]...), flags...)
	if len(paths) > 0 {
		out = append(append(out, "--"), paths...)
	}
	return out
}
