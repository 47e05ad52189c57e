from aofdoctor.cli.app import main

main()
