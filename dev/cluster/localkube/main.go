// localkube is the server side of Kubernetes as one program: etcd, API server, controller manager, scheduler, kubelet,
// kube-proxy and CoreDNS, chosen by the first argument. One program links once and shares its code pages in memory.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: localkube etcd|apiserver|controller-manager|scheduler|kubelet|proxy|dns [flags]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	part := os.Args[1]
	os.Args = append([]string{part}, os.Args[2:]...)
	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "dns":
		serveDNS()
	default:
		os.Exit(cli.Run(command(part)))
	}
}

// serveDNS runs CoreDNS with the few plug-ins a development cluster needs. The order is the order of a query's way.
func serveDNS() {
	dnsserver.Directives = []string{"bind", "errors", "ready", "cache", "kubernetes", "template"}
	coremain.Run()
}

// command gives the Cobra command of one of Kubernetes' own programs, or ends this one with its usage.
func command(part string) *cobra.Command {
	switch part {
	case "apiserver":
		return apiserver.NewAPIServerCommand()
	case "controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "proxy":
		return proxy.NewProxyCommand()
	}
	fmt.Fprintln(os.Stderr, usage)
	os.Exit(2)
	return nil
}
