// Program image packs one static program into a container image, without a
// container engine. See usage.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const usage = `Packs one static program into a container image, without a container engine.

  image --program FILE --name NAME:TAG --out FILE.tar [--cmd ARG]… [--label KEY=VALUE]…

The archive is an OCI layout and what ` + "`docker save`" + ` writes at once, so docker,
podman, containerd, kind, skopeo and crane all read it. The same program and
labels give the same bytes: nothing in it depends on the machine or, without
SOURCE_DATE_EPOCH, on the time. Its digest is printed.
`

// A list is a flag that may be repeated.
type list []string

func (l *list) String() string         { return strings.Join(*l, " ") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "image: %s\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	program := flags.String("program", "", "")
	name := flags.String("name", "", "")
	out := flags.String("out", "", "")
	var cmd, labels list
	flags.Var(&cmd, "cmd", "")
	flags.Var(&labels, "label", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *program == "" || *name == "" || *out == "" || flags.NArg() > 0 {
		return fmt.Errorf("--program, --name and --out are needed, and nothing beside flags\n\n%s", usage)
	}
	content, err := os.ReadFile(*program)
	if err != nil {
		return err
	}
	architecture, err := architectureOf(content)
	if err != nil {
		return fmt.Errorf("%s: %w", *program, err)
	}
	created, err := createdAt(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	image := image{
		name:         *name,
		architecture: architecture,
		entrypoint:   "/usr/local/bin/" + filepath.Base(*program),
		cmd:          cmd,
		labels:       map[string]string{},
		created:      created,
	}
	for _, label := range labels {
		key, value, found := strings.Cut(label, "=")
		if !found {
			return fmt.Errorf("--label %s: expected KEY=VALUE", label)
		}
		image.labels[key] = value
	}
	image.files = rootFiles(image.entrypoint, content, mozillaRoots())
	archive, digest, err := image.archive()
	if err != nil {
		return err
	}
	if err := replace(*out, archive); err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

// createdAt is the time in the image's configuration.
func createdAt(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	var seconds int64
	if _, err := fmt.Sscan(epoch, &seconds); err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// mozillaRoots are the certificate authorities that Mozilla trusts without a
// condition: what PEM can't say would be lost.
func mozillaRoots() [][]byte {
	var roots [][]byte
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			roots = append(roots, root.Certificate)
		}
	}
	return roots
}

// replace puts a whole file in the place of another, or none.
func replace(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".part"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
