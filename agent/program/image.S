// The bytes of the agent's program.
        .section .rodata
        .global vireo_agent_begin, vireo_agent_end
        .hidden vireo_agent_begin, vireo_agent_end
        .balign 16
vireo_agent_begin:
        .incbin VIREO_AGENT
vireo_agent_end:
        .section .note.GNU-stack, "", @progbits
