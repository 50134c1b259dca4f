package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
	"github.com/meshc/meshc/schema/diag"
)

func buildCommand() *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "compile documents into a snapshot file",
		ArgsUsage: "[PATH…]",
		Description: `The same documents give the same snapshot version, in whatever order and folder they lie, and the same tree of files
gives the same bytes on any machine. A snapshot with the configuration of a plugin is written so that only you may read it.
Exit code: 0 written, 1 the input has errors, 2 the build could not be run.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Required: true, Usage: "file to write; - for standard output"},
			&cli.StringFlag{Name: "emit", Value: "snapshot", Usage: "what to write: snapshot, or xds for the Envoy configuration of one proxy, as a static file in JSON"},
			&cli.StringFlag{Name: "proxy", Value: snapshot.GatewayID, Usage: "with --emit xds: the proxy, gateway or MESH.NAME"},
			&cli.StringFlag{Name: "xds-gateway-addr", Value: defaultEnvoyGateway, Usage: "with --emit xds: the address that Envoy's gateway listener binds"},
			&cli.StringFlag{Name: "xds-gateway-tls-addr", Value: defaultEnvoyGatewayTLS, Usage: "with --emit xds: the address that Envoy's gateway listener for TLS binds, where the input has one"},
			&cli.StringFlag{Name: "admin-addr", Value: defaultAdmin, Usage: "with --emit xds: `IP:PORT` of Envoy's admin interface, which is opened where the proxy shows metrics"},
			&cli.BoolFlag{Name: "strict", Usage: "warnings fail too"},
			nodePortsFlag(), nodeFlag(), nodeLabelFlag(),
			cacheFlag(),
		},
		Action: func(c *cli.Context) error {
			if e := c.String("emit"); e != "snapshot" && e != "xds" {
				return failed("--emit %s: must be snapshot or xds", e)
			}
			for _, name := range []string{"proxy", "xds-gateway-addr", "xds-gateway-tls-addr", "admin-addr"} {
				if c.IsSet(name) && c.String("emit") != "xds" {
					return failed("--%s has a meaning only with --emit xds: a snapshot holds all proxies", name)
				}
			}
			admin, err := parseAdmin(c)
			if err != nil {
				return failed("%v", err)
			}
			node, err := nodeOf(c)
			if err != nil {
				return err
			}
			in := newDocuments(c.Args().Slice(), c.App.Reader, toServe)
			in.compiler.Node = node
			defer in.useCache(c.String("cache"), c.App.ErrWriter)()
			l, err := in.load(c.Context)
			if err != nil {
				return failed("%v", err)
			}
			if err := printFindings(c.App.ErrWriter, l); err != nil {
				return failed("writing findings: %v", err)
			}
			if l.summary.Errors > 0 || c.Bool("strict") && l.summary.Warnings > 0 {
				return errFindings
			}
			if err := l.mustNotBeInput(c.String("output")); err != nil {
				return err
			}
			mode := os.FileMode(0o644)
			if l.snapshot.Sensitive() {
				mode = 0o600
			}
			return writeOutput(c.String("output"), mode, c.App.Writer, func(w io.Writer) error {
				if c.String("emit") == "xds" {
					return emitEnvoy(w, c.App.ErrWriter, l.snapshot, c.String("proxy"), c.String("xds-gateway-addr"), c.String("xds-gateway-tls-addr"), admin)
				}
				return snapshot.Write(w, l.snapshot)
			})
		},
	}
}

// emitEnvoy writes everything that an Envoy with node id proxy gets as a static
// configuration file, which Envoy can check (--mode validate) and run alone. What
// such a file cannot hold it says in notes.
func emitEnvoy(w, notes io.Writer, s snapshot.Snapshot, proxy, gatewayAddr, gatewayTLSAddr string, admin netip.AddrPort) error {
	set, err := xds.Resources(s, proxy, gatewayAddr, gatewayTLSAddr, envoyFilter)
	if err != nil {
		return err
	}
	for _, note := range set.LeftOut() {
		fmt.Fprintln(notes, "note: left out:", note)
	}
	if set.Admin = admin; set.ShowsMetrics() {
		fmt.Fprintf(notes, "note: metrics: Envoy's admin interface, which they come from, is opened at %s\n", admin)
	}
	bootstrap, err := set.Bootstrap(proxy)
	if err != nil {
		return err
	}
	text, err := envoy.JSON(bootstrap)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// printFindings writes the findings of a load, if there are any, as text.
func printFindings(w io.Writer, l loaded) error {
	if len(l.diags) == 0 {
		return nil
	}
	return diag.Write(w, diag.Text, l.diags, l.summary, diag.Options{Color: colored(w), Source: l.source})
}

// writeOutput writes a file of this mode whole or not at all; "-" is standard output.
func writeOutput(path string, mode os.FileMode, stdout io.Writer, write func(io.Writer) error) error {
	if path == "-" {
		if err := write(stdout); err != nil {
			return failed("%v", err)
		}
		return nil
	}
	real, regular, err := target(path)
	if err != nil {
		return failed("--output %s: %v", path, err)
	}
	if regular {
		err = replaceFile(real, mode, write)
	} else {
		err = writeThrough(real, write)
	}
	if err != nil {
		return failed("--output %s: %v", path, err)
	}
	return nil
}

// target returns where output to path goes, links followed, and whether that
// is a regular file, there or to be. Anything else, a device or a pipe, is
// written to and never replaced.
func target(path string) (real string, regular bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return "", false, fmt.Errorf("there is no directory %s", filepath.Dir(path))
		}
		return path, true, nil
	case err != nil:
		return "", false, err
	case info.IsDir():
		return "", false, errors.New("it is a directory; name a file")
	case !info.Mode().IsRegular():
		return path, false, nil
	}
	real, err = filepath.EvalSymlinks(path)
	return real, true, err
}

func writeThrough(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = write(f)
	return errors.Join(err, f.Close())
}

// replaceFile puts a new file in the place of path in one step.
func replaceFile(path string, mode os.FileMode, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	err = write(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
