package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// defaultAdmin is where Envoy's admin interface listens by custom.
const defaultAdmin = "127.0.0.1:9901"

func bootstrapCommand() *cli.Command {
	return &cli.Command{
		Name:      "bootstrap",
		Usage:     "print what an Envoy needs to know to be served over xDS",
		ArgsUsage: "NODE",
		Description: `NODE is gateway or MESH.NAME. The output is a whole configuration, in JSON:
envoy --config-yaml "$(meshc bootstrap default.shop)"
Exit code: 0 printed, 2 bad flags.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "xds-addr", Value: defaultXDS, Usage: "`HOST:PORT` of meshc serve --xds-addr, as this Envoy reaches it; HOST may be a DNS name"},
			&cli.StringFlag{Name: "service", Usage: "what the Envoy calls itself in spans, as the kuma.io/service of its dataplane (default: NODE)"},
			&cli.StringFlag{Name: "xds-ca", Usage: "`FILE` with the authority of the server's certificate; turns TLS on"},
			&cli.StringFlag{Name: "xds-server-name", Usage: "the `NAME` in the server's certificate (default: the host of --xds-addr)"},
			&cli.StringFlag{Name: "xds-cert", Usage: "certificate `FILE` that the Envoy shows, for meshc serve --xds-client-ca"},
			&cli.StringFlag{Name: "xds-key", Usage: "its private key `FILE`"},
			&cli.StringFlag{Name: "admin-addr", Value: defaultAdmin, Usage: "`IP:PORT` of Envoy's admin interface, where its metrics come from"},
		},
		Action: func(c *cli.Context) error {
			connection, err := connectionOf(c)
			if err != nil {
				return failed("%v", err)
			}
			bootstrap, err := connection.Bootstrap()
			if err != nil {
				return failed("%v", err)
			}
			text, err := envoy.JSON(bootstrap)
			if err != nil {
				return failed("%v", err)
			}
			_, err = c.App.Writer.Write(text)
			return err
		},
	}
}

// connectionOf reads the flags of meshc bootstrap.
func connectionOf(c *cli.Context) (envoy.Connection, error) {
	out := envoy.Connection{
		NodeID: c.Args().First(), Service: c.String("service"), ServerName: c.String("xds-server-name"),
		ServerCA: absolute(c.String("xds-ca")), Certificate: absolute(c.String("xds-cert")), Key: absolute(c.String("xds-key")),
	}
	if c.NArg() != 1 {
		return out, errors.New("name one node: gateway, or MESH.NAME of a dataplane")
	}
	if err := checkNode(out.NodeID); err != nil {
		return out, err
	}
	host, port, err := net.SplitHostPort(c.String("xds-addr"))
	if err != nil || host == "" {
		return out, fmt.Errorf("--xds-addr %q is not HOST:PORT", c.String("xds-addr"))
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return out, fmt.Errorf("--xds-addr: the port %q is not one from 1 to 65535", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return out, fmt.Errorf("--xds-addr: %s is where a server listens; name the address that the Envoy is to connect to", host)
	}
	out.Host, out.Port = host, uint16(number)
	if out.Admin, err = parseAdmin(c); err != nil {
		return out, err
	}
	switch {
	case (out.Certificate == "") != (out.Key == ""):
		return out, errors.New("--xds-cert and --xds-key belong together")
	case out.ServerCA == "" && (out.Certificate != "" || out.ServerName != ""):
		return out, errors.New("--xds-ca is missing: without TLS there is nothing to show a certificate to")
	}
	return out, nil
}

// parseAdmin reads --admin-addr.
func parseAdmin(c *cli.Context) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(c.String("admin-addr"))
	if err != nil || at.Port() == 0 {
		return at, fmt.Errorf("--admin-addr %q is not IP:PORT", c.String("admin-addr"))
	}
	return at, nil
}

// checkNode refuses what is the id of no proxy.
func checkNode(id string) error {
	if err := checkPattern(id); err != nil || id[len(id)-1] == '*' {
		return fmt.Errorf("%q is no node: want gateway, or MESH.NAME of a dataplane", id)
	}
	return nil
}

// absolute returns where path leads from any directory; Envoy has its own.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if out, err := filepath.Abs(path); err == nil {
		return out
	}
	return path
}

// openXDSTLS returns the TLS of serve's xDS server, nil for none.
func openXDSTLS(c *cli.Context, log *slog.Logger) (*xds.TLS, error) {
	files := xds.TLSFiles{Certificate: c.String("xds-tls-cert"), Key: c.String("xds-tls-key"), ClientCA: c.String("xds-client-ca")}
	switch {
	case files == xds.TLSFiles{}:
		return nil, nil
	case c.String("xds-addr") == "":
		return nil, errors.New("--xds-tls-cert has nothing to protect without --xds-addr")
	case files.Certificate == "" || files.Key == "":
		return nil, errors.New("--xds-tls-cert and --xds-tls-key belong together, and --xds-client-ca needs both")
	}
	t, err := xds.OpenTLS(files, log)
	if err != nil {
		return nil, fmt.Errorf("the xDS server: %w", err)
	}
	return t, nil
}
