package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler"
)

func nodePortsFlag() cli.Flag {
	return &cli.BoolFlag{Name: "node-ports", Usage: "open what Kubernetes Services ask for on a node: node ports, external IPs and load balancer addresses that are this machine's, UDP"}
}

func nodeFlag() cli.Flag {
	return &cli.StringFlag{Name: "node", Usage: "the `NAME` of this machine as a Kubernetes node, for traffic that is to stay on it"}
}

func nodeLabelFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "node-label", Usage: "a label `KEY=VALUE` of this machine as a Kubernetes node, for topologyKeys; repeatable"}
}

// nodeOf returns the machine that the flags describe.
func nodeOf(c *cli.Context) (compiler.Node, error) {
	n := compiler.Node{Ports: c.Bool("node-ports"), Name: c.String("node")}
	for _, text := range c.StringSlice("node-label") {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" || value == "" {
			return n, failed("--node-label %q is not KEY=VALUE", text)
		}
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[key] = value
	}
	return n, nil
}
